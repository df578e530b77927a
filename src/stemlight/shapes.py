"""The axis vocabulary, as types: `Float[Tensor, "batch channels samples"]`.

Words: batch sources channels samples planes frames bins features latents.
`complex` is the axis of length two that holds real and imaginary part.

jaxtyping gives the types their meaning and checks them in the tests; it is no runtime
dependency, so without it the brackets simply return the array type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Bool", "Complex", "Float", "Float32", "Int"]

if TYPE_CHECKING:
    from jaxtyping import Bool, Complex, Float, Float32, Int
else:
    try:
        from jaxtyping import Bool, Complex, Float, Float32, Int
    except ImportError:

        class _ArrayOnly:
            """Stands in for a jaxtyping type: `_ArrayOnly[array_type, "axes"]` is `array_type`."""

            def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
                return item[0]

        Bool = Complex = Float = Float32 = Int = _ArrayOnly

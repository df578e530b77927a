"""Frozen settings that refuse unknown fields, and the functions that read and write them.

Settings travel as plain mappings (YAML recipes, JSON cards) and become dataclasses once, at the
edge. They stop at the builders: no module, engine or reader ever takes one of these objects.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from stemlight.errors import ConfigError, did_you_mean

__all__ = [
    "Activation",
    "Estimate",
    "GammaOrder",
    "LatentOrder",
    "Modulation",
    "Norm",
    "Packing",
    "Representation",
    "StftConfig",
    "from_mapping",
    "merge",
    "to_mapping",
]

_T = TypeVar("_T")

Packing = Literal["complex-major", "channel-major"]
"""Order of the real planes of a complex spectrogram.

complex-major: [Re L, Re R, Im L, Im R] (LaSAFT family); channel-major: [Re L, Im L, Re R, Im R]
(MDX-Net family). With stereo both have four planes, so a mix-up runs and sounds bad.
"""

Representation = Literal["complex", "magnitude"]
"""What a network sees of a spectrogram: real and imaginary parts, or magnitudes, one plane for each
channel. Estimated magnitudes get the phase of the mixture."""

LatentOrder = Literal["latents-first", "units-first"]
"""How the narrow layer of a LightSAFT lays out its outputs: all units of one latent source together
(latents-first, LightSAFT) or all latent sources of one unit together (units-first, LASAFT-Net-v2).
Weights trained with one do not work with the other."""

GammaOrder = Literal["in-first", "out-first"]
"""How a generated 1x1 convolution is laid out: rows are inputs (in-first), or outputs."""

Modulation = Literal["none", "film", "film-simple", "pocm", "gpocm"]
"""How a generated scale and offset act on features: one pair for each feature (film) or for all
(film-simple), a 1x1 convolution (pocm), or one through a sigmoid as a gate (gpocm)."""

Norm = Literal["batch", "group", "instance"]
"""Which normalisation follows a layer."""

Activation = Literal["identity", "relu", "leaky_relu", "sigmoid", "tanh", "softmax"]
"""An activation without parameters; leaky_relu has the slope 0.01 below zero, softmax runs over
features."""

Estimate = Literal["mapping", "masking", "gain", "matrix"]
"""What a network's output is: the planes of the source itself (mapping), a factor for each of the
mixture's planes (masking), one gain in 0..1 for both parts of each channel (gain), or such gains
and, beside them, how much of each channel goes into the other (matrix)."""


@dataclass(frozen=True, kw_only=True)
class StftConfig:
    """Short-time Fourier transform with a periodic Hann window.

    Frames lie `hop_samples` apart: centred on the multiples of the hop, the signal reflected at its
    ends, or (`centered=False`) the first starting with the first sample.
    """

    n_fft: int
    hop_samples: int
    packing: Packing = "complex-major"
    representation: Representation = "complex"
    centered: bool = True
    kept_bins: int | None = None  # None: all n_fft // 2 + 1; bins above are zero in the estimates

    def __post_init__(self) -> None:
        all_bins = self.n_fft // 2 + 1
        if self.n_fft < 2 or self.n_fft % 2:
            raise ConfigError(f"n_fft must be an even number of at least 2, not {self.n_fft}")
        # Frames further apart than half of one can be inverted, though badly.
        if not 0 < self.hop_samples <= self.n_fft:
            raise ConfigError(
                f"hop_samples must lie in 1..{self.n_fft} for n_fft {self.n_fft}, "
                f"not {self.hop_samples}"
            )
        if self.kept_bins is not None and not 0 < self.kept_bins <= all_bins:
            raise ConfigError(
                f"kept_bins must lie in 1..{all_bins} for n_fft {self.n_fft}, not {self.kept_bins}"
            )

    @property
    def n_planes(self) -> int:
        """Planes of a stereo signal."""
        return 4 if self.representation == "complex" else 2

    def window_samples(self, n_frames: int) -> int:
        """Return how many samples give `n_frames` frames."""
        return self.hop_samples * (n_frames - 1) + (0 if self.centered else self.n_fft)

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames a window of `n_samples` gives.

        Raises:
            ConfigError: the window is no whole number of hops.
        """
        beyond_first = n_samples - self.window_samples(1)
        if beyond_first < 0 or beyond_first % self.hop_samples:
            more = "" if self.centered else f" more than n_fft {self.n_fft}"
            raise ConfigError(
                f"chunk_samples must be a multiple of hop_samples {self.hop_samples}{more}, "
                f"not {n_samples}"
            )
        return 1 + beyond_first // self.hop_samples


def from_mapping(kind: type[_T], mapping: Mapping[str, Any]) -> _T:
    """Build the dataclass `kind` from a mapping, nested dataclasses included.

    Raises:
        ConfigError: a field is unknown (with the closest known name), missing, or of a wrong type.
    """
    name = kind.__name__
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{name} needs a mapping of fields, not {mapping!r}")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    for key in mapping:
        if key not in fields:
            hint = did_you_mean(str(key), fields)
            raise ConfigError(
                f"{name} has no field {key!r}{hint or '; it has ' + ', '.join(fields)}"
            )
    for field in fields.values():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and field.name not in mapping:
            raise ConfigError(f"{name} needs the field {field.name!r}")
    return kind(
        **{key: _convert(f"{name}.{key}", hints[key], value) for key, value in mapping.items()}
    )


def to_mapping(config: Any) -> dict[str, Any]:
    """Turn a dataclass into plain values that JSON and YAML can hold; `from_mapping` reads it."""
    return dataclasses.asdict(config)


def _convert_items(where: str, kinds: tuple[Any, ...], items: Sequence[Any]) -> tuple[Any, ...]:
    if kinds[-1] is not Ellipsis and len(items) != len(kinds):
        raise ConfigError(f"{where} needs {len(kinds)} values, not {len(items)}")
    return tuple(_convert(where, kinds[0], item) for item in items)


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes` laid over it, nested mappings field by field."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _convert(where: str, hint: Any, value: Any) -> Any:
    """Check a value against a type hint; widen int to float, list to tuple, mapping to config."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(where, next(a for a in arguments if a is not type(None)), value)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where} must be one of {', '.join(arguments)}, not {value!r}")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return _convert_items(where, arguments, value)
    if origin is dict and isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, arguments[0]):
                kind = arguments[0].__name__
                raise ConfigError(f"keys of {where} must be {kind}, not {key!r}; quote it")
        return {key: _convert(f"{where}.{key}", arguments[1], item) for key, item in value.items()}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_mapping(hint, value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = origin or hint
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise ConfigError(f"{where} must be {expected.__name__}, not {value!r}")
    return value

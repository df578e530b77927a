"""Pure maps from the parameter names of the authors' checkpoints to ours.

A map is an ordered table of regular expressions, applied in turn; a replacement of `None` drops
the key. Nothing is guessed: loading is strict, so a key that no rule fits is an error there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from stemlight.errors import WeightsError

__all__ = ["CONDITIONED_RULES", "rename_keys"]

_ATTENTION = r"\1.transformation.attention"

CONDITIONED_RULES: tuple[tuple[str, str | None], ...] = (
    (r"^stft\.", None),  # the Hann window, which follows from n_fft
    (r"^spec2spec\.", ""),
    (r"^first_conv\.", "head."),
    (r"^last_conv\.0\.", "tail."),
    (r"^mid_block\.", "middle."),
    (r"^downsamplings\.", "downs."),
    (r"^upsamplings\.", "ups."),
    (r"^condition_generator\.dense_control_block\.linear\.", "conditioner.control."),
    (r"^condition_generator\.linear_(gamma|beta)\.0\.", r"conditioner.\1_head.0."),
    (r"^condition_generator\.linear_(gamma|beta)\.2\.", r"conditioner.\1_head.1."),
    (r"^decoders\.(\d+)\.pocm_generator\.", r"conditioner.generators.\1."),
    (r"^(decoders\.\d+)\.tfc_lightsaft\.", r"\1."),
    (r"\.tfc\.H\.", ".tfc.layers."),
    (r"\.tdf\.tdf\.0\.", ".transformation.narrow.0."),
    (r"\.tdf\.tdf\.1\.", ".transformation.narrow.1."),
    (r"\.tdf\.tdf\.3\.", ".transformation.widen.0."),
    (r"\.tdf\.tdf\.4\.", ".transformation.widen.1."),
    (r"\.LaSAFT_bn_layer\.", ".transformation.split."),
    (r"\.LaSIFT\.", ".transformation.widen."),
    (r"^(\w+(?:\.\d+)?)\.query_pocm_generator\.", _ATTENTION + ".query.mix."),
    (r"^(\w+(?:\.\d+)?)\.linear_query\.(\d+)\.", _ATTENTION + r".query.project.\2."),
    (r"^(\w+(?:\.\d+)?)\.linear_query\.", _ATTENTION + ".query."),
    (r"^(\w+(?:\.\d+)?)\.keys\.(\d+)\.", _ATTENTION + r".listening_keys.project.\2."),
    (r"^(\w+(?:\.\d+)?)\.keys$", _ATTENTION + ".keys"),
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
)
"""LaSAFT, LightSAFT and LASAFT-Net-v2. All rules are applied in turn to every key."""


def rename_keys(
    keys: Iterable[str], rules: Iterable[tuple[str, str | None]] = CONDITIONED_RULES
) -> dict[str, str]:
    """Map official parameter names to ours; dropped keys are left out.

    Raises:
        WeightsError: two official keys would get one name.
    """
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    renamed: dict[str, str] = {}
    for key in keys:
        name: str | None = key
        for pattern, replacement in compiled:
            if replacement is None and pattern.search(key):
                name = None
                break
            if replacement is not None and name is not None:
                name = pattern.sub(replacement, name)
        if name is None:
            continue
        if name in renamed.values():
            raise WeightsError(f"two official parameters map to {name!r}; one of them is {key!r}")
        renamed[key] = name
    return renamed

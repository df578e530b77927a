"""Pure maps from the parameter names of the authors' checkpoints to ours.

A map is an ordered table of regular expressions, applied in turn; a replacement of `None` drops
the key. Nothing is guessed: loading is strict, so a key that no rule fits is an error there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from stemlight.errors import WeightsError

__all__ = ["rename_keys", "rules_for"]

Rules = Sequence[tuple[str, str | Callable[[re.Match[str]], str] | None]]

_BLOCK = r"^(encoders\.\d{1,3}|middle|decoders\.\d{1,3})"
_ATTENTION = r"\1.transformation.attention"

# What follows from the configuration: Hann windows, and zeros to fill missing bins up with.
_DERIVED: Rules = ((r"^(stft\.)*window$", None), (r"^freq_pad$", None))

# The authors named the same parts anew in every repository.
_PARTS: Rules = (
    (r"^(conditional_)?spec2spec\.", ""),
    (r"^first_conv\.", "head."),
    (r"^(last|final)_conv\.0\.", "tail."),
    (r"^(mid_block|mid_dense|bottleneck_block)\.", "middle."),
    (r"^(encoding_blocks|ds_dense)\.", "encoders."),
    (r"^(decoding_blocks|us_dense)\.", "decoders."),
    (r"^(downsamplings?|ds)\.", "downs."),
    (r"^(upsamplings?|us)\.", "ups."),
    # TDC networks name the convolution and the norm of a sampling step.
    (r"^(downs|ups)\.(\d+)\.conv\.", r"\1.\2.0."),
    (r"^(downs|ups)\.(\d+)\.bn\.", r"\1.\2.1."),
)

_BLOCKS: Rules = (
    (r"^(decoders\.\d+|encoders\.\d+|middle)\.tfc_(light|la)saft\.", r"\1."),
    (_BLOCK + r"\.tfc\.H\.", r"\1.tfc.layers."),
    (_BLOCK + r"\.H\.", r"\1.tfc.layers."),
    # A block of convolutions alone, as of TFC and TDC networks, is a TFC without company.
    (_BLOCK + r"\.tdfs\.tdf\.", r"\1.transformation.tdf."),
    (_BLOCK + r"\.(?:tdf|tif)\.(?:tdf\.|tif\.)?(?=\d)", r"\1.transformation."),
    (_BLOCK + r"\.LaSAFT_bn_layer\.", r"\1.transformation.split."),
    (_BLOCK + r"\.LaSIFT\.", r"\1.transformation.widen."),
    (_BLOCK + r"\.query_pocm_generator\.", _ATTENTION + ".query.mix."),
    (_BLOCK + r"\.linear_query\.(\d+)\.", _ATTENTION + r".query.project.\2."),
    (_BLOCK + r"\.linear_query\.", _ATTENTION + ".query."),
    # Listening keys of a LaSAFT have no activation, so their last layer comes one place earlier.
    (_BLOCK + r"\.keys\.[23]\.", _ATTENTION + r".listening_keys.project.3."),
    (_BLOCK + r"\.keys\.(\d+)\.", _ATTENTION + r".listening_keys.project.\2."),
    (_BLOCK + r"\.keys$", _ATTENTION + ".keys"),
)

_CONTROL: Rules = (
    (r"^condition_generator\.dense_control_block\.linear\.", "conditioner.control."),
    (r"^condition_generator\.linear_(gamma|beta)\.", r"conditioner.\1_head."),
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
)

_TWO_LAYERS: Rules = (
    (r"(\.transformation\.(?:tdf\.)?)([01])\.", r"\1narrow.\2."),
    (r"(\.transformation\.(?:tdf\.)?)3\.", r"\1widen.0."),
    (r"(\.transformation\.(?:tdf\.)?)4\.", r"\1widen.1."),
)
_ONE_LAYER: Rules = ((r"(\.transformation\.(?:tdf\.)?)([01])\.", r"\1widen.\2."),)


def rules_for(keys: Iterable[str]) -> Rules:
    """Return the rules for a state dict: some depend on what else is in it.

    A TDF has one layer or two; a network that conditions some blocks has generators for these.
    """
    named = {name for name in (_apply(key, (*_DERIVED, *_PARTS)) for key in keys) if name}
    layers = (
        _TWO_LAYERS
        if any(re.search(r"\.t[di]fs?\.(\w+\.)?3\.weight$", n) for n in named)
        else _ONE_LAYER
    )
    return (*_DERIVED, *_PARTS, *_generator_rules(named), *_BLOCKS, *_CONTROL, *layers)


def _generator_rules(names: Iterable[str]) -> Rules:
    """Number the generators of LASAFT-Net-v2, which lie in their blocks, in order of execution."""
    order = {"encoders": 0, "middle": 1, "decoders": 2}
    found = {
        match[1] for match in (re.match(_BLOCK + r"\.pocm_generator\.", n) for n in names) if match
    }

    def position(block: str) -> tuple[int, int]:
        kind, _, index = block.partition(".")
        return order[kind], int(index or 0)

    positions = {block: index for index, block in enumerate(sorted(found, key=position))}
    return (
        (
            _BLOCK + r"\.pocm_generator\.",
            lambda match: f"conditioner.generators.{positions[match[1]]}.",
        ),
    )


def rename_keys(keys: Iterable[str], rules: Rules | None = None) -> dict[str, str]:
    """Map official parameter names to ours; dropped keys are left out.

    Raises:
        WeightsError: two official keys would get one name.
    """
    keys = list(keys)
    rules = rules_for(keys) if rules is None else rules
    renamed: dict[str, str] = {}
    taken: set[str] = set()
    for key in keys:
        name = _apply(key, rules)
        if name is None:
            continue
        if name in taken:
            raise WeightsError(f"two official parameters map to {name!r}; one of them is {key!r}")
        taken.add(name)
        renamed[key] = name
    return renamed


def _apply(key: str, rules: Rules) -> str | None:
    name = key
    for pattern, replacement in rules:
        if replacement is None:
            if re.search(pattern, name):
                return None
        else:
            name = re.sub(pattern, replacement, name)
    return name

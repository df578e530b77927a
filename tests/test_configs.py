"""Plain mappings become settings, or an error that says what to change."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from stemlight.configs import StftConfig, from_mapping, merge, to_mapping
from stemlight.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Example:
    stft: StftConfig
    pair: tuple[float, float] = (0.0, 1.0)
    names: tuple[str, ...] = ()
    limits: dict[str, float] = field(default_factory=dict)
    maybe: int | None = None


STFT = {"n_fft": 512, "hop_samples": 128}


def test_lists_integers_and_nested_mappings_become_what_the_fields_say():
    example = from_mapping(
        Example,
        {"stft": STFT, "pair": [1, 2], "names": ["a", "b"], "limits": {"a": 1}, "maybe": None},
    )
    assert example == Example(
        stft=StftConfig(**STFT), pair=(1.0, 2.0), names=("a", "b"), limits={"a": 1.0}
    )
    assert all(isinstance(value, float) for value in (*example.pair, example.limits["a"]))
    assert from_mapping(Example, to_mapping(example)) == example


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "Example needs the field 'stft'"),
        (
            {"stft": {**STFT, "hop_sample": 1}},
            r"has no field 'hop_sample' \(did you mean 'hop_samples'",
        ),
        ({"stft": {"n_fft": 512}}, "StftConfig needs the field 'hop_samples'"),
        ({"stft": {**STFT, "n_fft": "512"}}, "StftConfig.n_fft must be int, not '512'"),
        ({"stft": {**STFT, "n_fft": True}}, "StftConfig.n_fft must be int, not True"),
        (
            {"stft": {**STFT, "packing": "planar"}},
            "one of complex-major, channel-major, not 'planar'",
        ),
        ({"stft": STFT, "pair": [1]}, "Example.pair needs 2 values, not 1"),
        ({"stft": STFT, "maybe": 1.5}, "Example.maybe must be int, not 1.5"),
        ({"stft": STFT, "xyzzy": 1}, "has no field 'xyzzy'; it has stft, pair, names"),
        ({"stft": 3}, "StftConfig needs a mapping of fields, not 3"),
        ({"stft": {"n_fft": 511, "hop_samples": 1}}, "even number of at least 2, not 511"),
        ({"stft": {"n_fft": 512, "hop_samples": 513}}, r"1\.\.512 for n_fft 512, not 513"),
    ],
)
def test_a_wrong_mapping_is_refused_with_its_field(mapping, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(Example, mapping)


def test_merging_goes_field_by_field_and_leaves_the_base_alone():
    base = {"a": {"x": 1, "y": 2}, "b": 3}
    assert merge(base, {"a": {"y": 4}, "c": 5}) == {"a": {"x": 1, "y": 4}, "b": 3, "c": 5}
    assert base == {"a": {"x": 1, "y": 2}, "b": 3}

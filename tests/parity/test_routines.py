"""Parity of whole separations: the authors' waveforms in, their stems out."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from stemlight.separation import MixerWeights, Separator
from stemlight.separation.mixers import KUIELAB_ORDER
from stemlight.separation.official_routines import quantize_pcm16, separate_officially
from stemlight.separation.torch_engine import TorchEngine

from .cases import TOLERANCE, discovered, largest_difference, mdx_source

_ROUTINES = {
    "lasaft": "lasaft",
    "lasaft_v2": "lasaft",
    "lightsaft_mdx": "lightsaft-mdx",
    "ismir_v1": "zero-context",
}
_KEY = re.compile(r"out\.(wave|pcm16)(?:\.([a-z_]+))?(?:\.ov(\d+))?")


def waveforms():
    """Return one parameter for each waveform of each file."""
    parameters = []
    for parameter in discovered(*_ROUTINES):
        (case,) = parameter.values
        if case is None:
            return [pytest.param(None, None, marks=parameter.marks)]
        keys = [key for key in case.tensors if re.match(r"out\.(wave|pcm16)", key)]
        parameters += [pytest.param(case, key, id=f"{parameter.id}-{key}") for key in keys]
    return parameters


@pytest.mark.parametrize(("case", "key"), waveforms())
def test_an_official_routine_gives_the_official_waveform(case, key):
    match = _KEY.fullmatch(key)
    assert match, f"{case.path.name} has a waveform of an unknown name: {key!r}"
    kind, target, overlap_percent = match.groups()
    model, config = case.model(), case.model_config()
    source = case.position(target)

    def separate_chunks(windows):
        with torch.no_grad():
            return model(torch.from_numpy(windows), torch.tensor([source])).numpy()

    (stem,) = separate_officially(
        separate_chunks,
        case.mixture().numpy(),
        routine=_ROUTINES[case.family],
        chunk_samples=config.chunk.chunk_samples,
        trim_samples=config.chunk.trim_samples,
        overlap_ratio=int(overlap_percent or 0) / 100,
        keep_padding=True,
        batch_size=3,
    )
    expected = case.tensors[key].T
    if kind == "pcm16":
        stem, expected = quantize_pcm16(stem), expected / 32768
    assert stem.shape == expected.shape
    assert largest_difference(stem, expected) < TOLERANCE


@pytest.mark.parametrize("case", discovered("mdx"))
def test_mdx_net_separates_and_mixes_as_officially(case):
    mixture = case.mixture().numpy()
    estimates = []
    for source in KUIELAB_ORDER:
        model, config = mdx_source(case, source)

        def separate_chunks(windows, model=model):
            with torch.no_grad():
                return model(torch.from_numpy(windows), torch.tensor([0])).numpy()

        (estimate,) = separate_officially(
            separate_chunks,
            mixture,
            routine="mdx-net",
            chunk_samples=config.chunk.chunk_samples,
            trim_samples=config.chunk.trim_samples,
        )
        estimates.append(estimate)
        # The ordinary way gives the same: that routine is a plan of chunks without overlap.
        separator = Separator(
            TorchEngine(model, sources=[source], sample_rate_hz=44_100), config.chunk
        )
        assert largest_difference(separator(mixture)[source], estimate) < TOLERANCE
    before = np.stack(estimates)
    assert largest_difference(before, case.tensors["out.sources_before_mixer"]) < TOLERANCE
    linear = case.state_dict("mixer.")["linear.weight"].float().numpy()
    weights = MixerWeights.from_tensors(
        {"linear.weight": linear}, estimates=KUIELAB_ORDER, sources=KUIELAB_ORDER
    )
    mixed = weights.mix(before, mixture)
    assert largest_difference(mixed, case.tensors["out.sources_after_mixer"]) < TOLERANCE

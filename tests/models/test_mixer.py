from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stemlight.errors import ConfigError
from stemlight.models.mixer import MixerConfig, WaveformMixer, build_mixer
from stemlight.separation.mixers import KUIELAB_ORDER, MixerWeights


def randomised(mixer: WaveformMixer, seed: int = 0) -> WaveformMixer:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return mixer


def signals(batch: int = 2, n_signals: int = 5, n_samples: int = 300) -> torch.Tensor:
    return torch.randn(batch, n_signals, 2, n_samples, generator=torch.Generator().manual_seed(1))


def numpy_weights(mixer: WaveformMixer) -> MixerWeights:
    return MixerWeights.from_tensors(
        {name: tensor.numpy() for name, tensor in mixer.state_dict().items()},
        estimates=KUIELAB_ORDER,
        sources=KUIELAB_ORDER,
    )


# The authors' mixer


def test_the_mixer_gives_what_the_authors_mixer_gives(shared):
    tensors = load_file(shared("fixtures/official/mixer.safetensors"))
    mixer = build_mixer(MixerConfig())
    mixer.load_state_dict({"linear.weight": tensors["sd.mixing_layer.weight"].float()})
    given, expected = tensors["in.x"], tensors["out.y"]
    torch.testing.assert_close(mixer(given), expected, rtol=0, atol=1e-6)
    weights = numpy_weights(mixer)
    for row, stems in zip(given.numpy(), expected.numpy(), strict=True):
        np.testing.assert_allclose(weights.mix(row[:4], row[4]), stems, rtol=0, atol=1e-6)


def test_the_papers_mixer_has_80_parameters():
    assert sum(parameter.numel() for parameter in WaveformMixer(4, 4).parameters()) == 80


def test_the_authors_weights_load_and_give_perfect_estimates_back(shared):
    state = torch.load(shared("weights/mixer.ckpt"), map_location="cpu", weights_only=True)
    mixer = WaveformMixer(4, 4)
    mixer.load_state_dict(state, strict=True)
    weights = numpy_weights(mixer)
    # Perfect estimates add up to the mixture: its columns count for every source.
    of_sources = weights.linear[:, :8] + np.tile(weights.linear[:, 8:], 4)
    np.testing.assert_allclose(of_sources, np.eye(8), atol=0.07)
    # What is in an estimate goes to its own source above all, and is taken out of the others.
    assert (weights.linear[:, :8].argmax(axis=1) == np.arange(8)).all()
    assert (weights.linear[:, :8][~np.eye(8, dtype=bool)] < 0).all()
    assert (weights.linear[:, 8:] > 0).all()


# Any mixer


@pytest.mark.parametrize("n_layers", [1, 2, 4])
@pytest.mark.parametrize("kernel_samples", [1, 9])
@pytest.mark.parametrize("bias", [False, True])
def test_numpy_gives_what_the_module_gives(n_layers, kernel_samples, bias):
    mixer = randomised(
        WaveformMixer(4, 4, kernel_samples=kernel_samples, n_layers=n_layers, bias=bias)
    )
    weights = numpy_weights(mixer)
    halo = weights.halo_samples
    assert halo == mixer.halo_samples == (kernel_samples // 2) * n_layers
    with torch.no_grad():
        expected = mixer(signals()).numpy()
    for row, stems in zip(signals().numpy(), expected, strict=True):
        padded = np.pad(row, ((0, 0), (0, 0), (halo, halo)))
        scale = np.abs(stems).max()
        np.testing.assert_allclose(weights.mix(padded[:4], padded[4]), stems, atol=1e-5 * scale)


@pytest.mark.parametrize("options", [{}, {"n_layers": 3, "kernel_samples": 5, "bias": True}])
def test_a_new_mixer_changes_nothing(options):
    with torch.no_grad():
        mixed = WaveformMixer(4, 4, **options)(signals())
    torch.testing.assert_close(mixed, signals()[:, :4], rtol=0, atol=0)


def test_without_bias_a_louder_song_is_mixed_as_a_quieter_one():
    mixer = randomised(WaveformMixer(4, 4, kernel_samples=5, n_layers=3))
    with torch.no_grad():
        torch.testing.assert_close(mixer(8 * signals()), 8 * mixer(signals()))


def test_a_sample_depends_on_nothing_beyond_the_halo():
    mixer = randomised(WaveformMixer(4, 4, kernel_samples=5, n_layers=3))
    given = signals(1).requires_grad_()
    mixer(given)[..., 150].square().sum().backward()
    reached = given.grad.abs().amax(dim=(0, 1, 2)).nonzero()
    assert reached.min() == 150 - mixer.halo_samples
    assert reached.max() == 150 + mixer.halo_samples


@pytest.mark.parametrize("n_layers", [2, 3])
def test_any_part_of_a_deep_mixer_learns(n_layers):
    mixer = randomised(WaveformMixer(3, 2, n_layers=n_layers, kernel_samples=3, bias=True))
    mixer(signals(n_signals=4)).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in mixer.parameters())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel_samples": 4}, "kernel_samples must be odd, 1 or more, not 4"),
        ({"n_layers": 0}, "n_layers must be at least 1, not 0"),
        ({"n_estimates": 0}, "n_estimates must be at least 1, not 0"),
    ],
)
def test_mixers_that_cannot_be_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        MixerConfig(**fields)

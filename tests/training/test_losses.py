"""Losses: each term is what it is called, and what is not known enters none."""

from __future__ import annotations

import math

import pytest
import torch

from stemlight.errors import ConfigError
from stemlight.stft_torch import Stft
from stemlight.training.losses import LossConfig, SeparationLoss, Truth

SOURCES = ("vocals", "drums", "bass")
STFT = Stft(64, 16, packing="complex-major", kept_bins=30)


def noise(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def truth_of(stems, known=None, sources=None):
    batch, n_sources = stems.shape[:2]
    return Truth(
        waveforms=stems,
        known=torch.ones(batch, n_sources, dtype=torch.bool) if known is None else known,
        sources=torch.arange(n_sources).expand(batch, -1) if sources is None else sources,
    )


def alone(**fields):
    return LossConfig(**{"waveform": 0.0, "planes": 0.0} | fields)


STEMS, ESTIMATES = noise(2, 3, 2, 256, seed=0), noise(2, 3, 2, 256, seed=1)


def loss_of(config, truth=None, estimates=ESTIMATES, planes=None):
    return SeparationLoss(config, STFT, SOURCES)(truth or truth_of(STEMS), estimates, planes)[0]


def planes_of(stems):
    return STFT(stems.flatten(0, 1)).unflatten(0, stems.shape[:2])


def test_the_default_is_what_the_embedded_model_was_trained_with():
    planes = noise(*planes_of(STEMS).shape, seed=2)
    waveform = (ESTIMATES - STEMS).abs().mean()
    planes_error = (planes - planes_of(STEMS)).abs().mean() / math.sqrt(64)
    torch.testing.assert_close(
        loss_of(LossConfig(), planes=planes), waveform + 2 * planes_error, rtol=1e-6, atol=0
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (alone(waveform=1.0), (ESTIMATES - STEMS).abs().mean()),
        (alone(waveform_squared=3.0), 3 * (ESTIMATES - STEMS).square().mean()),
        (
            alone(planes_squared=1.0),
            (planes_of(ESTIMATES) - planes_of(STEMS)).square().mean() / 64,
        ),
    ],
    ids=["waveform", "waveform_squared", "planes_squared"],
)
def test_a_term_is_the_mean_error_that_it_is_called(config, expected):
    torch.testing.assert_close(loss_of(config), expected, rtol=1e-5, atol=0)


def test_log_sdr_falls_by_one_for_ten_decibels_and_levels_off():
    def loss(error_db):
        return float(loss_of(alone(log_sdr=1.0), estimates=STEMS * (1 + 10 ** (error_db / 20))))

    assert loss(0) == pytest.approx(0, abs=1e-3)
    assert loss(10) == pytest.approx(1, abs=1e-3)
    assert loss(-10) == pytest.approx(-0.9957, abs=1e-3)  # a thousandth of the signal on top
    assert loss(-60) == pytest.approx(-3, abs=1e-3)


def test_log_sdr_of_silence_is_finite_and_falls_with_what_should_be_silent():
    silence = torch.zeros(1, 1, 2, 64)
    losses = []
    for level in (1.0, 0.1, 0.0):
        estimate = torch.full_like(silence, level, requires_grad=True)
        loss = loss_of(alone(log_sdr=1.0), truth_of(silence), estimate)
        loss.backward()
        assert estimate.grad.isfinite().all()
        losses.append(loss.item())
    assert losses[0] > losses[1] > losses[2] == 0


def test_resolutions_see_a_shift_in_time_that_magnitudes_do_not():
    config = alone(resolutions=1.0, n_ffts=(128, 32))
    exact = loss_of(config, estimates=STEMS)
    shifted = loss_of(config, estimates=STEMS.roll(8, dims=-1))
    half = loss_of(config, estimates=0.5 * STEMS)
    assert exact == 0
    assert shifted > half > 0.1


@pytest.mark.parametrize(
    "config",
    [
        LossConfig(),
        alone(waveform_squared=1.0, planes_squared=1.0, log_sdr=1.0, resolutions=1.0, n_ffts=(64,)),
    ],
)
def test_unknown_sources_enter_no_term(config):
    known = torch.tensor([[True, False, True], [False, False, True]])
    whole = loss_of(config, truth_of(STEMS, known))
    spoiled = torch.where(known[:, :, None, None], STEMS, 99.0)
    torch.testing.assert_close(loss_of(config, truth_of(spoiled, known)), whole)
    single = [
        loss_of(config, truth_of(STEMS[b : b + 1, s : s + 1]), ESTIMATES[b : b + 1, s : s + 1])
        for b, s in known.nonzero().tolist()
    ]
    torch.testing.assert_close(whole, torch.stack(single).mean(), rtol=1e-5, atol=1e-7)


def test_a_batch_of_which_nothing_is_known_teaches_nothing():
    estimates = ESTIMATES.clone().requires_grad_()
    loss = loss_of(LossConfig(), truth_of(STEMS, torch.zeros(2, 3, dtype=torch.bool)), estimates)
    loss.backward()
    assert loss == 0
    assert not estimates.grad.any()


def test_weights_belong_to_sources_whatever_their_order():
    config = LossConfig(planes=0.0, source_weights={"bass": 3.0, "vocals": 0.0})
    order = torch.tensor([[2, 0, 1], [1, 2, 0]])
    errors = (ESTIMATES - STEMS).abs().mean(dim=(2, 3))
    weights = torch.tensor([0.0, 1.0, 3.0])[order]
    found = loss_of(config, truth_of(STEMS, sources=order))
    torch.testing.assert_close(found, (errors * weights).mean())


def test_the_mean_of_the_losses_of_processes_is_the_loss_of_the_whole_batch():
    known = torch.tensor([[True, True, True], [False, False, True]])
    whole = loss_of(LossConfig(), truth_of(STEMS, known))
    parts = [
        SeparationLoss(
            LossConfig(), STFT, SOURCES, mean_over_processes=lambda count: count * 0 + 2
        )(truth_of(STEMS[item : item + 1], known[item : item + 1]), ESTIMATES[item : item + 1])[0]
        for item in range(2)
    ]
    torch.testing.assert_close(torch.stack(parts).mean(), whole)


def test_losses_add_no_weights_to_checkpoints():
    assert not SeparationLoss(LossConfig(resolutions=1.0), STFT, SOURCES).state_dict()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"waveform": -1.0}, r"loss\.waveform must be at least 0, not -1\.0"),
        ({"waveform": float("nan")}, r"loss\.waveform must be at least 0, not nan"),
        ({"waveform": 0.0, "planes": 0.0}, "loss needs a term of more than 0: waveform, planes"),
        ({"max_sdr_db": 20.0}, r"loss\.max_sdr_db belongs to loss\.log_sdr, which is 0"),
        ({"n_ffts": (64,)}, r"loss\.n_ffts belongs to loss\.resolutions, which is 0"),
        ({"resolutions": 1.0, "n_ffts": (6,)}, r"multiples of 4, at least one, not \[6\]"),
        ({"source_weights": {"bass": -2.0}}, r"source_weights\.bass must be at least 0, not -2\.0"),
        ({"source_weights": {"base": 1.0}}, r"names 'base' \(did you mean 'bass'\?\); sources are"),
    ],
)
def test_a_wrong_loss_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        LossConfig(**fields).weights_of(SOURCES)

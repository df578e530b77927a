"""Attention over latent sources, as it is and along a song."""

from __future__ import annotations

import numpy as np
import pytest

from stemlight.errors import UsageError
from stemlight.inspection import mean_attention, observe, shared_attention

from .material import HOP_SAMPLES, noise, subject

LATENT = ("stemlight-small", "lasaft-small", "lightsaft", "lasaft-v2", "pocm-lightsaft")


@pytest.mark.parametrize("preset", LATENT)
def test_attention_sums_to_one_for_every_source_and_frame(preset):
    mixture = noise()
    looked = subject(preset)
    layers = observe(looked, mixture).attention
    assert layers
    n_frames = -(-mixture.shape[1] // HOP_SAMPLES)
    for weights in layers.values():
        assert weights.shape == (4, n_frames if preset == "lasaft-v2" else 1, 3)
        assert weights.min() >= 0
        np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("preset", ["stemlight-small", "lasaft-small"])
def test_attention_that_does_not_listen_is_that_of_any_song(preset):
    looked = subject(preset)
    alone, observed = mean_attention(looked), observe(looked, noise()).attention
    assert list(alone) == list(observed)
    for name, shares in alone.items():
        np.testing.assert_allclose(shares, observed[name][:, 0], atol=1e-6)


def test_listening_attention_changes_where_the_song_does():
    looked = subject("lasaft-v2")
    n_samples, place = 12_000, 7_000
    silence = np.zeros((2, n_samples), np.float32)
    click = silence.copy()
    click[:, place : place + 64] = 0.5
    quiet, heard = (observe(looked, samples).attention for samples in (silence, click))
    for name, weights in heard.items():
        change = np.abs(weights - quiet[name]).sum(axis=(0, 2))
        centre = np.average(np.arange(len(change)), weights=change)
        assert abs(centre - (place + 32) / HOP_SAMPLES) < 5, name


def test_a_song_that_repeats_with_the_windows_is_listened_to_alike():
    looked = subject("lasaft-v2")
    hop_samples = looked.known_config().chunk.hop_samples
    assert hop_samples % HOP_SAMPLES == 0
    song = np.tile(noise(hop_samples), 6)
    period = hop_samples // HOP_SAMPLES
    for weights in observe(looked, song).attention.values():
        second, third = weights[:, 2 * period : 3 * period], weights[:, 3 * period : 4 * period]
        np.testing.assert_allclose(second, third, atol=1e-5)


def test_targets_share_what_both_spend_on_the_same_latent_sources():
    shares = np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.25, 0.75, 0.0]])
    expected = [[1, 0, 0.25], [0, 1, 0.5], [0.25, 0.5, 1]]
    np.testing.assert_allclose(shared_attention(shares), expected)


def test_a_model_without_latent_sources_is_refused_with_what_it_has():
    with pytest.raises(UsageError, match="has no latent sources, its transformation is 'tdf'"):
        mean_attention(subject("film-tdf"))


def test_listening_attention_without_a_song_is_refused():
    with pytest.raises(UsageError, match="listens to the song; give one"):
        mean_attention(subject("lasaft-v2"))

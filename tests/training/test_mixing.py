"""Random mixtures: reproducible, in range, and made of what the recipe says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stemlight.errors import ConfigError
from stemlight.training.material import ArrayStem, TrainingTrack
from stemlight.training.mixing import MixingConfig, RandomMixtures, StepSampler

SOURCES = ("vocals", "drums")
PLAIN = MixingConfig(
    same_song_share=0, gain_db=(0, 0), channel_swap_share=0, polarity_share=0, speed_share=0
)


def song(number, n_samples=500, sources=SOURCES):
    """Make stems whose samples tell song, source, channel and position."""
    time = np.arange(n_samples, dtype=np.float32)
    stems = {}
    for index, source in enumerate(sources):
        stems[source] = np.stack([10_000 * (10 * number + index) + 1000 * c + time for c in (1, 2)])
    return TrainingTrack(
        name=str(number), stems={name: ArrayStem(stem) for name, stem in stems.items()}
    )


def mixtures(config, *, tracks=None, n_samples=64, seed=0):
    tracks = [song(n) for n in range(1, 4)] if tracks is None else tracks
    return RandomMixtures(
        tracks, SOURCES, n_samples=n_samples, sample_rate_hz=100, config=config, seed=seed
    )


def facts(stem):
    """Return the song and source number and the start of a plain excerpt."""
    first = int(stem[0, 0])
    return first // 100_000, first // 10_000 % 10, first % 1000


def test_an_item_depends_on_seed_and_index_alone():
    config = MixingConfig(speed_share=0.5)
    one, two = mixtures(config), mixtures(config)
    [two[index] for index in (5, 3)]
    for index in (0, 7, 10**9):
        torch.testing.assert_close(one[index].stems, two[index].stems, atol=0, rtol=0)
    assert not torch.equal(one[0].stems, one[1].stems)
    assert not torch.equal(one[0].stems, mixtures(config, seed=1)[0].stems)


def test_stems_keep_their_place_and_come_from_independent_songs_and_starts():
    items = [[facts(stem) for stem in mixtures(PLAIN)[index].stems] for index in range(200)]
    assert all([source for _, source, _ in item] == [0, 1] for item in items)
    same = sum(item[0][0] == item[1][0] for item in items)
    assert 40 < same < 100  # a third by chance
    assert len({start for item in items for _, _, start in item}) > 100


def test_stems_of_one_song_start_together():
    config = MixingConfig(same_song_share=1, gain_db=(0, 0), channel_swap_share=0, polarity_share=0)
    for index in range(50):
        vocals, drums = (facts(stem) for stem in mixtures(config)[index].stems)
        assert (vocals[0], vocals[2]) == (drums[0], drums[2])


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"gain_db": (6, 6)}, lambda stem, plain: torch.allclose(stem, plain * 10**0.3)),
        ({"channel_swap_share": 1}, lambda stem, plain: torch.equal(stem, plain.flip(-2))),
        ({"polarity_share": 1}, lambda stem, plain: torch.equal(stem, -plain)),
    ],
)
def test_each_augmentation_does_what_it_is_called(change, check):
    from dataclasses import replace

    stem = mixtures(replace(PLAIN, **change))[3].stems
    assert check(stem, mixtures(PLAIN)[3].stems)


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_speed_moves_the_pitch_and_keeps_the_length(speed):
    tone = np.sin(2 * np.pi * 5 * np.arange(4000) / 100).astype(np.float32)
    tracks = [
        TrainingTrack(name="t", stems={name: ArrayStem(np.stack([tone, tone])) for name in SOURCES})
    ]
    config = MixingConfig(
        same_song_share=0, gain_db=(0, 0), speed_share=1, speed_range=(speed, speed)
    )
    stem = mixtures(config, tracks=tracks, n_samples=1000)[0].stems[0, 0].numpy()
    assert stem.shape == (1000,)
    spectrum = np.abs(np.fft.rfft(stem * np.hanning(1000)))
    assert spectrum.argmax() == pytest.approx(5 * speed * 10, abs=1)  # bins of 0.1 Hz


def test_longer_songs_are_drawn_more_often_by_the_root_of_their_length():
    tracks = [song(1, 1000), song(2, 4000)]
    drawn = [facts(mixtures(PLAIN, tracks=tracks)[index].stems[0])[0] for index in range(600)]
    assert sum(number == 2 for number in drawn) / 600 == pytest.approx(2 / 3, abs=0.07)


def test_a_track_without_a_stem_serves_the_others():
    tracks = [song(1), song(2, sources=("vocals",))]
    drawn = {facts(mixtures(PLAIN, tracks=tracks)[index].stems[0])[0] for index in range(50)}
    assert drawn == {1, 2}


@pytest.mark.parametrize(
    ("tracks", "config", "message"),
    [
        ([song(1, 64)], PLAIN, "no track has more than 64 samples of 'vocals'"),
        (
            [song(1, sources=("vocals",)), song(2, sources=("drums",))],
            MixingConfig(same_song_share=0.5),
            "needs tracks that have all of vocals, drums; set it to 0",
        ),
    ],
)
def test_material_that_cannot_serve_is_refused(tracks, config, message):
    with pytest.raises(ConfigError, match=message):
        mixtures(config, tracks=tracks)


def test_a_sampler_starts_where_a_run_left_off():
    assert list(StepSampler(6, 3)) == [6, 7, 8]
    assert len(StepSampler(6, 3)) == 3

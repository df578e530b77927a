"""Random mixtures: reproducible, in range, and made of what the recipe says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from stemlight.errors import ConfigError
from stemlight.training.material import ArrayStem, SilentStem, TrackFacts, TrainingTrack
from stemlight.training.mixing import MixingConfig, RandomMixtures
from stemlight.training.mixing_config import StretchConfig
from stemlight.training.partners import MatchingParts, Part, pool_of_parts
from stemlight.training.recipe import read_recipe
from stemlight.training.run import train

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


def test_the_speed_of_a_song_keeps_its_stems_together():
    tone = np.sin(2 * np.pi * 5 * np.arange(3000) / 100).astype(np.float32)
    stems = {name: ArrayStem(np.stack([tone, tone])) for name in SOURCES}
    tracks = [TrainingTrack(name="t", stems=stems)]
    config = replace(PLAIN, same_song_share=1, speed_share=0.5, speed_of_songs=True)
    examples = [mixtures(config, tracks=tracks, n_samples=1000)[index] for index in range(40)]
    assert all(torch.equal(*example.stems) for example in examples)
    window = torch.hann_window(1000)
    at_speed_1 = [
        int(torch.fft.rfft(example.stems[0, 0] * window).abs().argmax()) == 50
        for example in examples
    ]
    assert np.mean(at_speed_1) == pytest.approx(0.5, abs=0.2)


def test_longer_songs_are_drawn_more_often_by_the_root_of_their_length():
    tracks = [song(1, 1000), song(2, 4000)]
    drawn = [facts(mixtures(PLAIN, tracks=tracks)[index].stems[0])[0] for index in range(600)]
    assert sum(number == 2 for number in drawn) / 600 == pytest.approx(2 / 3, abs=0.07)


@pytest.mark.parametrize("same_song_share", [0, 1])
def test_tracks_are_drawn_more_often_by_their_weight(same_song_share):
    tracks = [song(1), replace(song(2), weight=3.0)]
    source = mixtures(replace(PLAIN, same_song_share=same_song_share), tracks=tracks)
    drawn = [facts(source[index].stems[0])[0] for index in range(600)]
    assert sum(number == 2 for number in drawn) / 600 == pytest.approx(3 / 4, abs=0.07)


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


def test_items_are_what_they_were_in_earlier_versions():
    found = [[facts(stem) for stem in mixtures(PLAIN)[index].stems] for index in range(3)]
    assert found == [[(1, 0, 32), (1, 1, 7)], [(2, 0, 99), (3, 1, 417)], [(2, 0, 389), (2, 1, 63)]]


def known_song(known, *, mixed=SOURCES, number=1, level_db=None, **facts_of_song):
    """Make a song with a mixture of all `mixed` of which only some stems are known."""
    whole = song(number, sources=mixed)
    total = sum(stem.samples for stem in whole.stems.values())
    return TrainingTrack(
        name=str(number),
        stems={name: whole.stems[name] for name in known},
        mixture=ArrayStem(total),
        facts=TrackFacts(level_db=level_db or {}, **facts_of_song),
    )


def test_of_a_partly_known_song_the_mixture_is_heard_and_the_known_stems_are_true():
    tracks = [song(2), known_song(["vocals"])]
    config = replace(PLAIN, partial_share=1)
    for index in range(20):
        example = mixtures(config, tracks=tracks)[index]
        assert example.known.tolist() == [True, False]
        number, source, start = facts(example.stems[0])
        assert (number, source) == (1, 0)
        whole = song(1)
        expected = sum(stem.read(start, 64) for stem in whole.stems.values())
        np.testing.assert_allclose(example.mixture, expected)
        assert not example.stems[1].any()


def test_the_share_of_partly_known_songs_is_that_of_all_mixtures():
    tracks = [song(2), known_song(["vocals"])]
    dataset = mixtures(replace(PLAIN, same_song_share=0.3, partial_share=0.4), tracks=tracks)
    known = [bool(dataset[index].known.all()) for index in range(300)]
    assert np.mean(known) == pytest.approx(0.6, abs=0.08)


def test_what_is_known_of_a_song_serves_mixtures_of_different_songs():
    tracks = [song(2), known_song(["vocals"])]
    drawn = {facts(mixtures(PLAIN, tracks=tracks)[index].stems[0])[0] for index in range(40)}
    assert drawn == {1, 2}


def test_the_accompaniment_is_what_the_mixture_holds_beside_the_other_sources():
    sources = ("vocals", "accompaniment")
    tracks = [
        known_song(["vocals"], mixed=("vocals", "drums", "bass")),
        song(2, sources=("vocals", "drums", "bass")),
        song(3, sources=("vocals", "accompaniment")),
    ]
    for same_song_share in (0, 1):
        dataset = RandomMixtures(
            tracks,
            sources,
            n_samples=64,
            sample_rate_hz=100,
            config=replace(PLAIN, same_song_share=same_song_share),
            seed=0,
        )
        seen = set()
        for index in range(40):
            example = dataset[index]
            assert example.known.all()
            np.testing.assert_allclose(example.stems.sum(dim=0), example.mixture, rtol=1e-6)
            number = facts(example.stems[0])[0]
            seen.add(number)
            if same_song_share:
                n_others = 1 if number == 3 else 2
                start = facts(example.stems[0])[2]
                bands = [10_000 * (10 * number + n + 1) + 1000 + start for n in range(n_others)]
                assert example.stems[1, 0, 0] == pytest.approx(sum(bands), rel=1e-6)
        assert seen == {1, 2, 3}


def test_nothing_is_left_for_the_accompaniment_beside_all_sources():
    dataset = RandomMixtures(
        [song(1), song(2)],
        (*SOURCES, "accompaniment"),
        n_samples=64,
        sample_rate_hz=100,
        config=replace(PLAIN, same_song_share=0.5),
        seed=0,
    )
    for index in range(10):
        assert not dataset[index].stems[2].any()
        assert dataset[index].known.all()


def test_a_model_of_one_source_hears_the_others_too():
    config = replace(PLAIN, also_mixed=("drums",))
    dataset = RandomMixtures(
        [song(1), song(2)], ["vocals"], n_samples=64, sample_rate_hz=100, config=config, seed=0
    )
    example = dataset[0]
    assert example.stems.shape == (1, 2, 64)
    assert facts(example.mixture - example.stems[0])[1] == 1


@pytest.mark.filterwarnings("ignore")  # Lightning warns of much
def test_a_recipe_of_one_source_finds_what_is_also_mixed(recipe_file):
    settings = ["arguments.sources=[low]", "arguments.network.n_sources=1", "n_steps=2"]
    with pytest.raises(ConfigError, match="a mixture of low alone teaches nothing"):
        train(read_recipe(recipe_file, settings))
    checkpoint = train(
        read_recipe(recipe_file, [*settings, "name=both", "mixing.also_mixed=[high]"])
    )
    assert checkpoint.is_file()


def test_a_source_known_to_be_silent_is_drawn_with_its_song_alone():
    silent = TrainingTrack(
        name="instrumental",
        stems={"vocals": SilentStem(500), "drums": song(1).stems["drums"]},
    )
    measured = TrainingTrack(
        name="measured",
        stems={
            "vocals": ArrayStem(np.zeros((2, 500), np.float32)),
            "drums": song(3).stems["drums"],
        },
        facts=TrackFacts(level_db={"drums": -20.0}),
    )
    tracks = [silent, measured, song(2)]
    drawn = {facts(mixtures(PLAIN, tracks=tracks)[i].stems[0])[0] for i in range(40)}
    assert drawn == {2}
    together = mixtures(replace(PLAIN, same_song_share=1), tracks=tracks)
    numbers = [
        (together[i].stems[0].any().item(), facts(together[i].stems[1])[0]) for i in range(40)
    ]
    assert set(numbers) == {(False, 1), (False, 3), (True, 2)}
    assert all(together[i].known.all() for i in range(40))


def test_a_silenced_source_is_known_and_out_of_the_mixture():
    dataset = mixtures(replace(PLAIN, silenced_share=0.5))
    silenced = [[not stem.any() for stem in dataset[index].stems] for index in range(200)]
    assert {sum(stems) for stems in silenced} == {0, 1}
    assert np.mean(np.any(silenced, axis=1)) == pytest.approx(0.5, abs=0.1)
    assert {stems.index(True) for stems in silenced if any(stems)} == {0, 1}
    for index in range(20):
        example = dataset[index]
        torch.testing.assert_close(example.stems.sum(dim=0), example.mixture)
        assert example.known.all()


def test_an_accompaniment_of_sources_that_nobody_asked_for_is_not_silenced():
    config = replace(PLAIN, silenced_share=1.0, also_mixed=("vocals", "drums"))
    tracks = [song(1, sources=("vocals", "drums"))]
    example = RandomMixtures(
        tracks, ["accompaniment"], n_samples=64, sample_rate_hz=100, config=config, seed=0
    )[0]
    assert example.mixture.any()
    torch.testing.assert_close(example.stems[0], example.mixture)


def test_balanced_stems_are_as_far_apart_as_those_of_a_song():
    def leveled(number, vocals_db, drums_db):
        return TrainingTrack(
            name=str(number),
            stems=song(number).stems,
            facts=TrackFacts(level_db={"vocals": vocals_db, "drums": drums_db}),
        )

    tracks = [leveled(1, -20, -25), leveled(2, -16, -13)]
    levels = {1: (-20, -25), 2: (-16, -13)}
    dataset = mixtures(replace(PLAIN, balanced_share=1), tracks=tracks)
    plain = mixtures(PLAIN, tracks=tracks)
    balances = set()
    for index in range(30):
        after = []
        for source in range(2):
            before = plain[index].stems[source]
            factor = float((dataset[index].stems[source] / before).mean())
            number = facts(before)[0]
            after.append(round(levels[number][source] + 20 * np.log10(factor), 3))
        balances.add(tuple(after))
    assert balances == set(levels.values())


def test_a_level_is_moved_by_12_db_at_most():
    tracks = [
        TrainingTrack(
            name=str(number),
            stems=song(number).stems,
            facts=TrackFacts(level_db={"vocals": level_db, "drums": level_db}),
        )
        for number, level_db in ((1, -59.0), (2, -10.0))
    ]
    dataset, plain = (
        mixtures(replace(PLAIN, balanced_share=share), tracks=tracks) for share in (1, 0)
    )
    factors = {
        round(20 * np.log10(float((dataset[i].stems[0] / plain[i].stems[0]).mean())), 2)
        for i in range(30)
    }
    assert factors == {-12.0, 0.0, 12.0}


def test_matched_songs_have_one_tempo_and_one_scale():
    pytest.importorskip("python_stretch")
    keys = {1: 0, 2: 21, 3: 2, 4: 6, 5: 0}  # C, a, D, F sharp, C
    tempos = {1: 120.0, 2: 60.0, 3: 110.0, 4: 120.0, 5: 85.0}
    pools = [
        pool_of_parts(
            [
                Part(
                    source,
                    ArrayStem(np.zeros((2, 9), np.float32)),
                    TrackFacts(tempo_bpm=tempos[number], key=keys[number]),
                )
                for number in keys
            ],
            100,
        )
        for source in ("vocals", "bass", "drums")
    ]
    matching = MatchingParts(pools, StretchConfig())
    generator = np.random.default_rng(0)
    changes = 0
    for _ in range(300):
        drawn = [pool.draw(generator) for pool in pools]
        matched = matching.match(drawn, generator)
        tempo = [part.facts.tempo_bpm * change.tempo for part, change in matched]
        octaves = np.log2(np.array(tempo) / tempo[0])
        assert np.allclose(octaves, np.round(octaves))
        scales = [
            (part.facts.key + (3 if part.facts.key >= 12 else 0) + change.semitones) % 12
            for part, change in matched
            if part.source != "drums"
        ]
        assert len(set(scales)) == 1
        for part, change in matched:
            assert abs(change.semitones) <= 2
            assert 0.8 <= change.tempo <= 1.2
            assert part.source != "drums" or change.semitones == 0
        changes += any(part is not old for (part, _), old in zip(matched, drawn, strict=True))
    assert changes > 100


def test_songs_of_which_nothing_is_known_stay_as_they_were_drawn():
    dataset = mixtures(replace(PLAIN, matched_share=1), n_samples=32)
    plain = mixtures(replace(PLAIN, matched_share=0.001), n_samples=32)
    for index in range(20):
        torch.testing.assert_close(dataset[index].mixture, plain[index].mixture)


def test_a_mixture_gets_louder_with_all_of_its_stems():
    plain = mixtures(PLAIN)
    dataset = mixtures(replace(PLAIN, mixture_gain_db=(-12, 6)))
    gains_db = []
    for index in range(40):
        factor = dataset[index].mixture[0, 0] / plain[index].mixture[0, 0]
        torch.testing.assert_close(dataset[index].stems, factor * plain[index].stems)
        gains_db.append(20 * float(torch.log10(factor)))
    assert -12 <= min(gains_db) < -9
    assert 3 < max(gains_db) <= 6


def test_full_scale_turns_down_what_exceeds_it_and_nothing_else():
    loud = mixtures(replace(PLAIN, full_scale=True))[0]
    plain = mixtures(PLAIN)[0]
    assert loud.mixture.abs().max() == pytest.approx(1)
    torch.testing.assert_close(loud.stems * plain.mixture.abs().max(), plain.stems)
    quiet = replace(PLAIN, gain_db=(-60, -60), same_song_share=0)
    soft = [
        TrainingTrack(
            name="soft",
            stems={n: ArrayStem(s.samples / 1e5) for n, s in song(1).stems.items()},
        )
    ]
    one = mixtures(replace(quiet, full_scale=True), tracks=soft)[0]
    assert torch.equal(one.mixture, mixtures(quiet, tracks=soft)[0].mixture)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(PLAIN, partial_share=0.1), "partial_share needs tracks with a mixture of their"),
        (replace(PLAIN, balanced_share=0.1), "balanced_share needs tracks with all sources whose"),
    ],
)
def test_settings_that_the_tracks_cannot_serve_are_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        mixtures(config)


def test_a_mixture_of_one_source_is_refused():
    with pytest.raises(ConfigError, match="a mixture of vocals alone teaches nothing; set mixing"):
        RandomMixtures(
            [song(1)], ["vocals"], n_samples=64, sample_rate_hz=100, config=PLAIN, seed=0
        )

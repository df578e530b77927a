from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlight.chunking import ChunkPlan
from stemlight.errors import ConfigError, InputError, WeightsError
from stemlight.models.mixer import MixerConfig
from stemlight.separation import (
    Bag,
    Ensemble,
    Mixer,
    MixerWeights,
    Separator,
    SideBySide,
    load_mixer,
    save_mixer,
)
from stemlight.training.mixer import MixerTraining, fit_linear_mixer, train_mixer

NAMES = ("vocals", "rest")
QUICK = MixerTraining(n_epochs=4, batch_size=4, chunk_samples=500, trim_samples=20)


def noise(generator: np.random.Generator, *shape: int) -> np.ndarray:
    return generator.normal(0, 0.3, shape).astype(np.float32)


def tracks(n_tracks: int = 3, n_samples: int = 4000, seed: int = 0) -> list:
    """Make songs of two sources of different colour."""
    generator = np.random.default_rng(seed)
    songs = []
    for _ in range(n_tracks):
        vocals, rest = noise(generator, 2, 2, n_samples)
        rest[:, 1:] += 0.9 * rest[:, :-1]
        songs.append((vocals + rest, {"vocals": vocals, "rest": rest}))
    return songs


class LeakySeparator:
    """Leaves a part of each source in the other, and adds noise that is the same every time."""

    def __init__(self, leak: float, noise_level: float, songs: list) -> None:
        self.leak = leak
        self.noise_level = noise_level
        self.by_mixture = {mixture.tobytes(): sources for mixture, sources in songs}
        self.n_calls = 0

    def __call__(self, mixture: np.ndarray) -> dict[str, np.ndarray]:
        self.n_calls += 1
        sources = self.by_mixture[mixture.tobytes()]
        vocals, rest = (sources[name] for name in NAMES)
        error = self.noise_level * noise(np.random.default_rng(9), 2, *mixture.shape)
        return {"vocals": vocals + self.leak * rest + error[0], "rest": rest + error[1]}


def mean_squared_error(weights: MixerWeights, songs: list, separate) -> float:
    errors = []
    for mixture, references in songs:
        estimates = separate(mixture)
        signals = np.stack([*(estimates[name] for name in weights.estimates), mixture])
        halo = weights.halo_samples
        signals = np.pad(signals, ((0, 0), (0, 0), (halo, halo)))
        stems = weights.mix(signals[:-1], signals[-1])
        errors += [
            np.square(stem - references[name], dtype=np.float64).mean()
            for name, stem in zip(weights.sources, stems, strict=True)
        ]
    return float(np.mean(errors))


# The closed form


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_least_squares_recover_a_known_mixing_matrix(seed):
    generator = np.random.default_rng(seed)
    # 4 rows of 6 columns: estimates apart from the mixture, which is a signal of its own here.
    truth = generator.normal(0, 1, (4, 6)).astype(np.float32)
    songs, answers = [], {}
    for _ in range(2):
        signals = noise(generator, 3, 2, 70_000)
        stems = (truth @ signals.reshape(6, -1)).reshape(2, 2, -1)
        songs.append((signals[2], dict(zip(NAMES, stems, strict=True))))
        answers[signals[2].tobytes()] = dict(zip(NAMES, signals[:2], strict=True))
    found = fit_linear_mixer(songs, lambda mixture: answers[mixture.tobytes()])
    assert found.estimates == found.sources == NAMES
    np.testing.assert_allclose(found.linear, truth, atol=1e-5)


@given(st.floats(-1, 1), st.floats(0, 1), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_on_its_own_tracks_the_mixer_is_never_worse_than_none(leak, noise_level, seed):
    songs = tracks(seed=seed)
    separate = LeakySeparator(leak, noise_level, songs)
    found = fit_linear_mixer(songs, separate)
    none = mean_squared_error(MixerWeights.pass_through(NAMES, NAMES), songs, separate)
    assert mean_squared_error(found, songs, separate) <= none * (1 + 1e-5) + 1e-12


def test_a_leak_is_taken_out():
    songs = tracks()
    separate = LeakySeparator(0.3, 0.0, songs)
    found = fit_linear_mixer(songs, separate)
    assert mean_squared_error(found, songs, separate) < 1e-12


def test_perfect_estimates_are_left_alone_though_they_add_up_to_the_mixture():
    songs = tracks()
    found = fit_linear_mixer(songs, LeakySeparator(0.0, 0.0, songs))
    expected = MixerWeights.pass_through(NAMES, NAMES).linear
    np.testing.assert_allclose(found.linear, expected, atol=1e-6)


def test_a_silent_estimate_leaves_finite_weights():
    songs = tracks()

    def separate(mixture):
        return {"vocals": 0.7 * mixture, "rest": np.zeros_like(mixture)}

    found = fit_linear_mixer(songs, separate)
    assert np.isfinite(found.linear).all()
    assert np.abs(found.linear).max() < 2


def test_each_track_is_separated_once_and_tracks_may_come_one_by_one():
    songs = tracks()
    separate = LeakySeparator(0.3, 0.1, songs)
    streamed = fit_linear_mixer(iter(songs), separate)
    assert separate.n_calls == len(songs)
    np.testing.assert_array_equal(streamed.linear, fit_linear_mixer(songs, separate).linear)


def test_a_mixer_is_learned_over_systems_that_give_the_same_sources(tmp_path):
    class Coloured:
        sources, sample_rate_hz, n_channels = NAMES, 8000, 2

        def __init__(self, gains):
            self.gains = gains

        def separate_chunks(self, mixture, sources):
            return np.stack([self.gains[name] * mixture for name in sources], axis=1)

    plan = ChunkPlan(chunk_samples=1000)
    members = {
        "a": Separator(Coloured({"vocals": np.float32(0.2), "rest": np.float32(0.5)}), plan),
        "b": Separator(Coloured({"vocals": np.float32(0.4), "rest": np.float32(0.8)}), plan),
    }
    songs = tracks()
    found = fit_linear_mixer(songs, Ensemble(members, SideBySide()))
    assert found.estimates == ("a/vocals", "a/rest", "b/vocals", "b/rest")
    assert found.sources == NAMES
    save_mixer(found, tmp_path)
    separator = Ensemble(members, Mixer(load_mixer(tmp_path)))
    assert separator.sources == NAMES
    mixture, references = songs[0]
    # All estimates are the mixture here: the best that can be is its share in each source.
    share = 1 - np.vdot(mixture, references["vocals"]) / np.vdot(mixture, mixture)
    np.testing.assert_allclose(separator(mixture)["rest"], share * mixture, atol=0.1)


# Training


def test_a_deep_mixer_takes_out_what_a_linear_one_cannot():
    generator = np.random.default_rng(0)
    songs, answers = [], {}
    for _ in range(3):
        vocals, rest = noise(generator, 2, 2, 4000)
        late_vocals, late_rest = (np.pad(x, ((0, 0), (1, 0)))[:, :-1] for x in (vocals, rest))
        songs.append((vocals + rest, {"vocals": vocals, "rest": rest}))
        answers[songs[-1][0].tobytes()] = {
            "vocals": vocals + 0.5 * late_rest,
            "rest": rest + 0.5 * late_vocals,
        }

    def separate(mixture):
        return answers[mixture.tobytes()]

    linear = fit_linear_mixer(songs, separate)
    config = MixerConfig(
        n_estimates=2, n_sources=2, hidden_channels=16, kernel_samples=3, n_layers=2
    )
    training = MixerTraining(n_epochs=40, batch_size=4, chunk_samples=500, trim_samples=20)
    deep = train_mixer(songs, separate, config, training=training)
    assert deep.halo_samples == 2
    before = mean_squared_error(linear, songs, separate)
    assert mean_squared_error(deep, songs, separate) < 0.5 * before


@pytest.mark.parametrize("n_layers", [1, 2])
def test_training_ends_no_worse_than_the_closed_form(n_layers):
    songs = tracks()
    separate = LeakySeparator(0.3, 0.3, songs)
    config = MixerConfig(n_estimates=2, n_sources=2, n_layers=n_layers, hidden_channels=4)
    trained = train_mixer(songs, separate, config, training=QUICK)
    closed = fit_linear_mixer(songs, separate)
    reached = mean_squared_error(trained, songs, separate)
    assert reached <= mean_squared_error(closed, songs, separate) * (1 + 1e-6)


def test_training_depends_on_the_seed_alone(tmp_path):
    songs = tracks()
    separate = LeakySeparator(0.3, 0.3, songs)
    config = MixerConfig(
        n_estimates=2, n_sources=2, n_layers=2, kernel_samples=3, hidden_channels=4
    )

    def trained(seed: int = 0, **options) -> list[np.ndarray]:
        training = MixerTraining(
            n_epochs=2, batch_size=4, chunk_samples=500, trim_samples=20, seed=seed
        )
        weights = train_mixer(songs, separate, config, training=training, **options)
        return list(weights.tensors().values())

    first = trained()
    for again in (trained(), trained(cache=tmp_path / "cache")):
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, other)
    assert any((one != other).any() for one, other in zip(first, trained(seed=1), strict=True))


def test_a_trained_mixer_runs_in_an_ensemble():
    songs = tracks()
    separate = LeakySeparator(0.3, 0.3, songs)
    config = MixerConfig(
        n_estimates=2, n_sources=2, n_layers=2, kernel_samples=3, hidden_channels=4
    )
    weights = train_mixer(songs, separate, config, training=QUICK)

    class Half:
        sources, sample_rate_hz, n_channels = NAMES, 8000, 2

        def separate_chunks(self, mixture, sources):
            return np.stack([np.float32(0.5) * mixture] * len(sources), axis=1)

    members = {"half": Separator(Half(), ChunkPlan(chunk_samples=1000, overlap_samples=100))}
    mixture = songs[0][0]
    assert Ensemble(members, Bag()).sources == Ensemble(members, Mixer(weights)).sources
    padded = np.pad(np.stack([0.5 * mixture, 0.5 * mixture, mixture]), ((0, 0), (0, 0), (2, 2)))
    expected = weights.mix(padded[:2], padded[2])
    stems = Ensemble(members, Mixer(weights))(mixture)
    for name, stem in zip(NAMES, expected, strict=True):
        np.testing.assert_allclose(stems[name], stem, atol=1e-6)


# What is refused


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda songs: [], InputError, "no tracks to learn a mixer from"),
        (
            lambda songs: [songs[0], (songs[1][0], {"vocals": songs[1][1]["vocals"]})],
            InputError,
            "references of track 2 have no 'rest'; they are vocals",
        ),
        (
            lambda songs: [(songs[0][0], songs[0][1] | {"rest": np.zeros((2, 5), np.float32)})],
            InputError,
            r"'rest' of the references of track 1 has the shape \(2, 5\) but the mixture .* 4000",
        ),
        (
            lambda songs: [(songs[0][0], songs[0][1] | {"kazoo": songs[0][0]})],
            WeightsError,
            "no estimate is of 'kazoo'; the estimates are vocals, rest",
        ),
        (
            lambda songs: [(songs[0][0][:1], songs[0][1])],
            InputError,
            r"track 1 has the shape \(1, 4000\) but \(2, samples\) is needed",
        ),
    ],
)
def test_tracks_that_do_not_fit_are_refused_with_their_number(change, error, message):
    songs = tracks()
    with pytest.raises(error, match=message):
        fit_linear_mixer(change(songs), LeakySeparator(0.1, 0.1, songs))


def test_settings_that_do_not_fit_are_refused_with_their_numbers():
    songs = tracks()
    separate = LeakySeparator(0.1, 0.1, songs)
    config = MixerConfig(n_estimates=2, n_sources=2)
    with pytest.raises(InputError, match="no track has 261120 samples; make chunk_samples smaller"):
        train_mixer(songs, separate, config)
    with pytest.raises(ConfigError, match="n_sources is 3 but the tracks give 2"):
        train_mixer(songs, separate, MixerConfig(n_estimates=2, n_sources=3), training=QUICK)
    with pytest.raises(
        ConfigError, match=r"trim_samples must lie in 0\.\.49 for chunk_samples 100"
    ):
        MixerTraining(chunk_samples=100, trim_samples=50)
    with pytest.raises(ConfigError, match=r"learning_rate must be more than 0, not -1\.0"):
        MixerTraining(learning_rate=-1.0)
    with pytest.raises(ConfigError, match=r"seed must lie in .* not -1"):
        MixerTraining(seed=-1)
    with pytest.raises(ConfigError, match="n_epochs must be at least 1, not 0"):
        MixerTraining(n_epochs=0)

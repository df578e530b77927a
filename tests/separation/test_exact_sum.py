"""Stems that add up to the mixture: to the last bit, wherever numbers for it exist."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stemlight.audio.pcm import to_pcm
from stemlight.chunking import ChunkPlan
from stemlight.errors import UsageError
from stemlight.separation import Separator
from stemlight.separation.exact_sum import exact_floats, exact_integers
from stemlight.separation.residuals import ResidualSharing
from stemlight.separation.songs import SongOptions, separate_file

from .fakes import SOURCES, GainBackend, WindowBackend, noise

PLAN = ChunkPlan(chunk_samples=1000, trim_samples=100, overlap_samples=200)
ORDERS = list(itertools.permutations(range(4)))

any_float = st.floats(width=32, allow_nan=False, allow_infinity=False)
full_scale = st.floats(-2, 2, width=32)


def pairs(elements, n_stems=4):
    """Stems (n_stems, 1, samples) and their mixture (1, samples)."""
    return st.tuples(
        hnp.arrays(np.float32, (n_stems, 1, 8), elements=elements),
        hnp.arrays(np.float32, (1, 8), elements=elements),
    )


def integers(samples: np.ndarray, n_bits: int) -> np.ndarray:
    """Whole steps, which the samples must be."""
    steps = samples.astype(np.float64) * 2 ** (n_bits - 1)
    assert np.all(steps == np.rint(steps))
    return steps.astype(np.int64)


def double_sum(stems: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return stems.astype(np.float64).sum(axis=0).astype(np.float32)


# Whole numbers


@given(pairs(any_float), st.sampled_from([16, 24]), st.sampled_from([None, 0, 3]))
def test_integers_always_add_up_and_stay_in_range(pair, n_bits, main_stem):
    stems, mixture = pair
    exact = exact_integers(stems, mixture, n_bits, main_stem=main_stem)
    np.testing.assert_array_equal(
        integers(exact, n_bits).sum(axis=0), to_pcm(mixture.clip(-4, 4), n_bits)
    )
    assert np.all((exact >= -1) & (exact < 1))


@given(hnp.arrays(np.float32, (4, 2, 50), elements=st.floats(-0.25, 0.25, width=32)))
def test_stems_whose_sum_is_right_move_by_their_rounding_alone(stems):
    mixture = double_sum(stems)
    step = 2.0**-15
    error = np.abs(exact_integers(stems, mixture, 16).astype(np.float64) - stems) / step
    loudest = np.abs(np.rint(stems / step)).argmax(axis=0)
    is_loudest = np.arange(4)[:, np.newaxis, np.newaxis] == loudest
    assert error[~is_loudest].max() <= 0.5
    assert error.max() <= 0.5 + 2.5


def test_a_named_stem_takes_all_that_is_missing():
    stems = noise(4, 300).reshape(4, 1, 300) * np.float32(0.1)
    exact = exact_integers(stems, np.full((1, 300), 0.5, np.float32), 16, main_stem=1)
    others = [0, 2, 3]
    np.testing.assert_array_equal(
        integers(exact, 16)[others], [to_pcm(s, 16) for s in stems[others]]
    )


# Floats


@given(pairs(full_scale), st.sampled_from([16, 24]), st.sampled_from([None, 0, 3]))
def test_float_stems_of_integer_songs_add_up_in_any_order_in_float32(pair, n_bits, main_stem):
    """The promise for every WAV and FLAC of up to 24 bits: below 6 dB over full scale."""
    stems, mixture = pair
    stems = stems / np.float32(4)  # four of at most 1/2
    mixture = to_pcm(mixture, n_bits).astype(np.float32) / np.float32(2 ** (n_bits - 1))
    mixture = mixture / np.float32(2) if n_bits == 16 else mixture
    exact, inexact = exact_floats(stems, mixture, main_stem=main_stem)
    # Whichever stem takes the rest, the positive and the negative ones stay together below 4.
    positive = np.maximum(exact, 0).sum(axis=0, dtype=np.float64)
    negative = np.maximum(-exact, 0).sum(axis=0, dtype=np.float64)
    is_promised = np.maximum(positive, negative) < 1.999
    assert not inexact[is_promised].any()
    for order in ORDERS:
        total = np.zeros_like(mixture)
        for index in order:
            total += exact[index]
        np.testing.assert_array_equal(total[is_promised], mixture[is_promised])


@settings(max_examples=300)
@given(pairs(any_float), st.sampled_from([None, 0, 3]))
def test_float_stems_add_up_or_are_counted(pair, main_stem):
    stems, mixture = pair
    exact, inexact = exact_floats(stems, mixture, main_stem=main_stem)
    assert np.all(np.isfinite(exact))
    np.testing.assert_array_equal(double_sum(exact)[~inexact], mixture[~inexact])


def test_a_stem_far_too_loud_hides_no_digit_of_the_others():
    stems = np.array([[[-1.0]], [[2.0**54 + 2.0**31]], [[0.0]], [[0.0]]], np.float32)
    mixture = np.array([[1.9]], np.float32)
    exact, inexact = exact_floats(stems, mixture)
    assert not inexact.any()
    np.testing.assert_array_equal(double_sum(exact), mixture)


@st.composite
def near_pairs(draw):
    """Stems whose sum is nearly the mixture, at any level, with cancellation and denormals."""
    scale = 2.0 ** draw(st.integers(-149, 100))
    stems = draw(hnp.arrays(np.float32, (3, 1, 16), elements=full_scale)).astype(np.float64) * scale
    damping = 2.0 ** draw(st.integers(-40, 0))
    stems[1] = -stems[0] * (1 - damping * draw(st.floats(0, 1)))
    stems = stems.astype(np.float32)
    mixture = stems.astype(np.float64).sum(axis=0) * (1 + draw(st.floats(-1e-6, 1e-6)))
    return stems, mixture.astype(np.float32)


@settings(max_examples=300)
@given(near_pairs())
def test_only_samples_that_all_stems_drown_can_be_inexact(pair):
    stems, mixture = pair
    exact, inexact = exact_floats(stems, mixture)
    quietest = np.abs(exact).min(axis=0)
    assert np.all(quietest[inexact] > np.abs(mixture[inexact]))
    error = np.abs(exact.astype(np.float64).sum(axis=0) - mixture)
    assert np.all(error[inexact] <= np.spacing(quietest[inexact]) / 2)
    moved = np.abs(exact.astype(np.float64) - stems).max(axis=0)
    missing = np.abs(stems.astype(np.float64).sum(axis=0) - mixture)
    assert np.all(moved <= missing + 4 * np.spacing(np.abs(stems).max(axis=0)))


def test_two_loud_stems_have_no_exact_sum_below_their_last_digit():
    """The finest digit of numbers near 1/2 is 2^-24: no two of them add up to 2^-30."""
    stems = np.array([[[0.6]], [[-0.6]]], np.float32)
    exact, inexact = exact_floats(stems, np.array([[2.0**-30]], np.float32))
    assert inexact.all()
    np.testing.assert_array_equal(exact, stems)


# The residual in time and frequency


def tone(hz: float, n_samples: int) -> np.ndarray:
    samples = np.sin(2 * np.pi * hz * np.arange(n_samples) / 8000)
    return np.tile(samples, (1, 1)).astype(np.float32)


def shared(stems: np.ndarray, mixture: np.ndarray, sizes=(10_000_000,)) -> np.ndarray:
    sharing = ResidualSharing(*stems.shape[:2])
    pieces, first = [], 0
    for size in itertools.cycle(sizes):
        if first >= mixture.shape[1]:
            break
        part = np.s_[..., first : first + size]
        pieces += sharing.push(stems[part], mixture[part])
        first += size
    pieces += sharing.flush()
    np.testing.assert_array_equal(np.concatenate([piece[1] for piece in pieces], -1), mixture)
    return np.concatenate([piece[0] for piece in pieces], -1)


def test_what_is_missing_in_a_band_goes_to_the_stem_that_sounds_there():
    low, high = tone(300, 40_000), tone(2500, 40_000)
    stems = np.stack([0.5 * low, 0.5 * high, 0 * low])
    complete = shared(stems, low + high)  # half of each tone is missing
    for stem, expected in zip(complete, (low, high, 0 * low), strict=True):
        error = (stem - expected)[:, 3000:-3000]
        assert 20 * np.log10(np.abs(error).max() + 1e-9) < -40


@pytest.mark.parametrize("n_samples", [1, 1023, 1024, 16_384, 40_001])
def test_the_shares_are_all_that_is_missing(n_samples):
    stems, mixture = noise(8, n_samples).reshape(4, 2, -1), noise(2, n_samples, seed=1)
    complete = shared(stems, mixture)
    assert complete.shape == stems.shape
    np.testing.assert_allclose(complete.sum(axis=0), mixture, atol=2e-5)


@pytest.mark.parametrize("sizes", [(1000, 1, 7), (16_384,), (30_000, 5)])
def test_shares_are_the_same_bytes_for_every_push_size(sizes):
    stems, mixture = noise(8, 60_000).reshape(4, 2, -1), noise(2, 60_000, seed=1)
    np.testing.assert_array_equal(shared(stems, mixture, sizes), shared(stems, mixture))


def test_silent_stems_share_alike():
    complete = shared(np.zeros((4, 1, 5000), np.float32), noise(1, 5000))
    np.testing.assert_array_equal(complete[1:], complete[:-1])


# Whole songs

LOSSLESS = [("wav", "16"), ("wav", "24"), ("flac", "16"), ("flac", "24"), ("wav", "float")]


def write(path: Path, samples: np.ndarray, subtype: str) -> Path:
    soundfile.write(path, samples.T, 8000, subtype=subtype)
    return path


def read_steps(path: Path, n_bits: int) -> np.ndarray:
    return soundfile.read(path, dtype="int32", always_2d=True)[0] >> (32 - n_bits)


@pytest.mark.parametrize("mode", ["proportional", "other"])
@pytest.mark.parametrize(("format", "bit_depth"), LOSSLESS)
def test_written_stems_add_up_to_the_song(tmp_path, format, bit_depth, mode):
    gains = dict(zip(SOURCES, (0.5, 0.2, -0.1, 0.3), strict=True))
    song = write(tmp_path / "song.wav", 0.9 * noise(2, 50_000), "PCM_16")
    options = SongOptions(format=format, bit_depth=bit_depth, exact_sum=mode)
    separator = Separator(GainBackend(gains), PLAN)
    report = separate_file(separator, song, tmp_path / "out", options=options)
    assert (report.gain_db, report.n_inexact, report.exact_sum) == (0, 0, mode)
    paths = [stem.path for stem in report.stems.values()]
    if bit_depth == "float":
        total = sum(soundfile.read(path, dtype="float32")[0] for path in paths)
        np.testing.assert_array_equal(total, soundfile.read(song, dtype="float32")[0])
        return
    n_bits = int(bit_depth)
    total = sum(read_steps(path, n_bits) for path in paths)
    np.testing.assert_array_equal(total, read_steps(song, n_bits))


def test_a_float_song_is_rounded_to_the_depth_and_then_met_exactly(tmp_path):
    song = write(tmp_path / "song.wav", 0.5 * noise(1, 20_000), "FLOAT")
    options = SongOptions(bit_depth="16", sources=["drums"], complement="rest", exact_sum="rest")
    separator = Separator(GainBackend(dict.fromkeys(SOURCES, 0.3)), PLAN)
    report = separate_file(separator, song, tmp_path / "out", options=options)
    total = sum(read_steps(stem.path, 16) for stem in report.stems.values())
    mixture = soundfile.read(song, dtype="float32", always_2d=True)[0]
    np.testing.assert_array_equal(total, to_pcm(mixture, 16))


def test_with_a_guard_gain_the_sum_is_the_mixture_times_it(tmp_path):
    song = write(tmp_path / "song.wav", noise(2, 30_000), "PCM_16")
    gains = dict(zip(SOURCES, (1.6, -0.4, -0.1, -0.2), strict=True))
    options = SongOptions(bit_depth="16", exact_sum="other")
    report = separate_file(
        Separator(GainBackend(gains), PLAN), song, tmp_path / "out", options=options
    )
    gain = np.float32(10 ** (report.gain_db / 20))
    assert report.gain_db == pytest.approx(20 * math.log10(1 / 1.6), abs=0.01)
    total = sum(read_steps(stem.path, 16) for stem in report.stems.values())
    mixture = soundfile.read(song, dtype="float32")[0]
    np.testing.assert_array_equal(total, to_pcm(mixture * gain, 16))


def test_with_clipping_the_sum_is_still_the_mixture(tmp_path):
    song = write(tmp_path / "song.wav", noise(2, 30_000), "PCM_16")
    gains = dict(zip(SOURCES, (1.6, -0.4, -0.1, -0.2), strict=True))
    options = SongOptions(bit_depth="16", exact_sum="proportional", on_clip="clip")
    report = separate_file(
        Separator(GainBackend(gains), PLAN), song, tmp_path / "out", options=options
    )
    assert report.gain_db == 0
    assert report.stems["vocals"].n_clipped > 0
    total = sum(read_steps(stem.path, 16) for stem in report.stems.values())
    np.testing.assert_array_equal(total, read_steps(song, 16))


def test_two_runs_give_the_same_bytes(tmp_path):
    song = write(tmp_path / "song.wav", 0.2 * noise(2, 50_000), "PCM_16")
    runs = [
        separate_file(
            Separator(WindowBackend(), PLAN),
            song,
            tmp_path / name,
            options=SongOptions(exact_sum="proportional"),
        )
        for name in ("one", "two")
    ]
    for name in SOURCES:
        one, two = (run.stems[name].path.read_bytes() for run in runs)
        assert one == two


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"exact_sum": "othr"},
            r"must be one of proportional, .*, not 'othr' \(did you mean 'other'",
        ),
        (
            {"exact_sum": "proportional", "sources": ["drums", "bass"]},
            "needs stems that make up the whole mixture, not drums, bass alone; ask for all stems",
        ),
    ],
)
def test_sums_that_cannot_be_are_refused(tmp_path, options, message):
    song = write(tmp_path / "song.wav", noise(1, 100), "PCM_16")
    separator = Separator(GainBackend(dict.fromkeys(SOURCES, 0.3)), PLAN)
    with pytest.raises(UsageError, match=message):
        separate_file(separator, song, tmp_path / "out", options=SongOptions(**options))
    assert not (tmp_path / "out").exists()


def test_one_stem_alone_would_be_the_mixture_itself(tmp_path):
    song = write(tmp_path / "song.wav", noise(1, 100), "PCM_16")
    separator = Separator(GainBackend({"vocals": 0.5}), PLAN)
    options = SongOptions(exact_sum="proportional")
    with pytest.raises(UsageError, match="not vocals alone"):
        separate_file(separator, song, tmp_path / "out", options=options)


def test_lossy_formats_have_no_bits_to_be_exact_in():
    with pytest.raises(
        UsageError, match=r"mp3 keeps no sample exactly, .* use wav or flac, or leave"
    ):
        SongOptions(format="mp3", exact_sum="proportional")

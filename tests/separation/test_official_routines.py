"""The authors' routines: their gains, contexts and lengths, and where they equal a ChunkPlan."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from stemlight.chunking import ChunkPlan
from stemlight.errors import UsageError
from stemlight.separation import Separator
from stemlight.separation.official_routines import (
    OfficialRoutine,
    official_trim_samples,
    quantize_pcm16,
    separate_officially,
)

from .fakes import SOURCES, WindowBackend, noise

ROUTINES = list(OfficialRoutine)
WINDOW, TRIM = 64, 10
TRUE = WINDOW - 2 * TRIM


def identity(windows):
    return windows[:, np.newaxis]


def constant(windows):
    return np.ones_like(windows)[:, np.newaxis]


def both_neighbours(windows):
    """Answer what lies TRIM samples before, and TRIM samples after: the two contexts."""
    return np.stack([np.roll(windows, TRIM, axis=-1), np.roll(windows, -TRIM, axis=-1)], axis=1)


def level(windows):
    """Answer a value that depends on everything in the window."""
    return np.broadcast_to(windows.sum(axis=(1, 2), keepdims=True), windows.shape)[:, np.newaxis]


def separate(network, mixture, routine, **options):
    options = {"chunk_samples": WINDOW, "trim_samples": TRIM, **options}
    return separate_officially(network, mixture, routine=routine, **options)


def ramp(n_samples):
    return np.arange(1, n_samples + 1, dtype=np.float32)[np.newaxis].repeat(2, axis=0)


# ---------------------------------------------------------------- gains and lengths


@settings(deadline=None)
@given(
    n_samples=st.integers(0, 400),
    routine=st.sampled_from(ROUTINES),
    overlap_ratio=st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5]),
    window=st.integers(2 * TRIM + 2, 90),
    batch_size=st.integers(1, 4),
)
def test_without_the_bug_an_identity_network_gives_its_input_back_to_the_last_bit(
    n_samples, routine, overlap_ratio, window, batch_size
):
    mixture = noise(2, n_samples)
    stems = separate(
        identity,
        mixture,
        routine,
        overlap_ratio=overlap_ratio,
        chunk_samples=window,
        reproduce_gain_bug=False,
        batch_size=batch_size,
    )
    assert stems.dtype == np.float32
    np.testing.assert_array_equal(stems, mixture[np.newaxis])


@settings(deadline=None)
@given(n_samples=st.integers(0, 400), overlap_ratio=st.sampled_from([0.25, 0.5]))
def test_without_the_bug_all_gains_are_one(n_samples, overlap_ratio):
    gains = separate(
        constant,
        noise(2, n_samples),
        "lasaft",
        overlap_ratio=overlap_ratio,
        reproduce_gain_bug=False,
    )
    assert (gains == 1).all()


def test_a_clip_of_30_seconds_is_published_half_too_loud_over_the_true_samples_of_one_window():
    n_samples, window, trim = 30 * 44_100, 1024 * 127, 5120
    true = window - 2 * trim
    gains = separate(
        constant,
        np.zeros((1, n_samples), np.float32),
        "lasaft",
        chunk_samples=window,
        trim_samples=trim,
    )[0, 0]
    start = 20 * (true // 2)
    assert (gains[:start] == 1).all()
    assert (gains[start : start + true] == 1.5).all()
    assert (gains[start + true :] == 1).all()
    assert len(gains) - start - true == 5112


def test_with_a_quarter_of_overlap_only_the_seams_around_the_gap_chunk_are_too_loud():
    hop = TRUE * 3 // 4
    n_samples = 2 * hop + TRUE + TRIM // 2  # the third chunk ends within P of the end
    gains = separate(constant, noise(1, n_samples), "lasaft", overlap_ratio=0.25)[0, 0]
    expected = np.ones(n_samples)
    expected[2 * hop : 2 * hop + TRUE // 4] = 1.5
    expected[3 * hop : 3 * hop + TRUE // 4] = 1.5
    np.testing.assert_array_equal(gains, expected)


@pytest.mark.parametrize("n_samples", range(250, 300))
def test_the_bug_shows_for_exactly_the_lengths_of_the_formula(n_samples):
    """Source: the lengths with (n - S) mod h in 0..P have a gap chunk, here at overlap 0.5."""
    gains = separate(constant, noise(1, n_samples), "lasaft")
    assert (gains.max() > 1) == ((n_samples - TRUE) % (TRUE // 2) <= TRIM)


def test_two_gap_chunks_in_a_row_are_twice_too_loud():
    trim = 20
    true = WINDOW - 2 * trim
    n_samples = 3 * true // 2 + true + trim - true // 2  # the third chunk ends P before the end
    gains = separate(constant, noise(1, n_samples), "lasaft", trim_samples=trim)
    assert gains.max() == 2


@pytest.mark.parametrize("n_samples", [0, 1, TRUE // 2])
def test_songs_that_crash_the_authors_code_are_one_padded_chunk(n_samples):
    mixture = noise(2, n_samples)
    np.testing.assert_array_equal(separate(identity, mixture, "lasaft")[0], mixture)


@pytest.mark.parametrize("n_samples", [1, TRUE - 1, TRUE, TRUE + 1, 3 * TRUE])
@pytest.mark.parametrize("routine", ROUTINES)
def test_padding_is_kept_on_request_where_the_authors_keep_it(routine, n_samples):
    mixture = noise(2, n_samples)
    options = {"overlap_ratio": 0.0, "keep_padding": True}
    stems = separate(identity, mixture, routine, **options)
    pads = routine in (OfficialRoutine.LASAFT, OfficialRoutine.ZERO_CONTEXT)
    n_whole = -(-n_samples // TRUE) * TRUE
    assert stems.shape == (1, 2, n_whole if pads else n_samples)
    np.testing.assert_array_equal(stems[0, :, :n_samples], mixture)
    assert (stems[..., n_samples:] == 0).all()


def test_overlapping_results_have_the_songs_length_even_if_padding_is_kept():
    assert separate(identity, noise(2, 99), "lasaft", keep_padding=True).shape == (1, 2, 99)


# ---------------------------------------------------------------- contexts


def test_lasaft_sees_no_left_context_as_long_as_a_region_starts_within_the_trim():
    true, hop, n_samples = 12, 6, 120  # h = 6 < P = 10: the second region starts at 6
    seen = []

    def record(windows):
        seen.extend(windows[:, 0])
        return identity(windows)

    separate(record, ramp(n_samples), "lasaft", chunk_samples=true + 2 * TRIM)
    starts = [index * hop for index in range(len(seen))]
    n_left = [int((window[:TRIM] != 0).sum()) for window in seen]
    assert n_left == [TRIM if start >= TRIM else 0 for start in starts]
    assert n_left[:3] == [0, 0, TRIM]


def test_lasaft_sees_no_right_context_in_the_gap_and_all_that_is_left_at_the_end():
    n_samples = TRUE // 2 * 4 + TRUE + TRIM // 2
    seen = []

    def record(windows):
        seen.extend(windows[:, 0])
        return identity(windows)

    separate(record, ramp(n_samples), "lasaft")
    *ordinary, gap, last = seen
    assert all((window[-TRIM:] != 0).all() for window in ordinary)
    assert (gap[-TRIM:] == 0).all()
    assert gap[-TRIM - 1] == n_samples - TRIM // 2  # though the song goes on behind it
    assert last.max() == n_samples


def test_zero_context_never_sees_a_neighbour():
    mixture = ramp(3 * TRUE)
    before, after = separate(both_neighbours, mixture, "zero-context")
    for start in range(0, 3 * TRUE, TRUE):
        assert (before[:, start : start + TRIM] == 0).all()
        assert (after[:, start + TRUE - TRIM : start + TRUE] == 0).all()
        np.testing.assert_array_equal(
            before[:, start + TRIM : start + TRUE], mixture[:, start : start + TRUE - TRIM]
        )


@settings(deadline=None)
@given(n_samples=st.integers(0, 300), routine=st.sampled_from(["lightsaft-mdx", "mdx-net"]))
def test_real_context_makes_a_delay_of_the_trim_seamless(n_samples, routine):
    mixture = noise(2, n_samples)
    before, after = separate(both_neighbours, mixture, routine)
    padded = np.pad(mixture, ((0, 0), (TRIM, TRIM)))
    np.testing.assert_array_equal(before, padded[:, :n_samples])
    np.testing.assert_array_equal(after, padded[:, 2 * TRIM :])


@settings(deadline=None)
@given(
    n_samples=st.integers(0, 400),
    routine=st.sampled_from(["lightsaft-mdx", "mdx-net", "mdx-net-validation"]),
    batch_size=st.integers(1, 4),
)
def test_real_context_routines_equal_a_chunk_plan_without_overlap(n_samples, routine, batch_size):
    backend = WindowBackend()
    mixture = noise(2, n_samples)
    plan = ChunkPlan(chunk_samples=WINDOW, trim_samples=TRIM)
    ours = Separator(backend, plan)(mixture)
    officially = separate(
        lambda windows: backend.separate_chunks(windows, SOURCES),
        mixture,
        routine,
        batch_size=batch_size,
    )
    for source, stem in zip(SOURCES, officially, strict=True):
        np.testing.assert_array_equal(stem, ours[source])


@pytest.mark.parametrize(
    ("routine", "n_windows"), [("lightsaft-mdx", 3), ("mdx-net", 4), ("mdx-net-validation", 4)]
)
def test_only_mdx_net_runs_one_more_window_of_silence_if_windows_fill_the_song(routine, n_windows):
    batches = []

    def record(windows):
        batches.append(windows)
        return identity(windows)

    separate(record, ramp(3 * TRUE), routine, batch_size=3)
    windows = np.concatenate(batches)
    assert len(windows) == n_windows
    assert [len(batch) for batch in batches] == ([3] if n_windows == 3 else [3, 1])
    assert (windows[3:, :, TRIM:] == 0).all()  # all but the end of the song, as its context


# ---------------------------------------------------------------- batches, trims, errors


@settings(deadline=None)
@given(
    n_samples=st.integers(0, 400),
    routine=st.sampled_from(ROUTINES),
    batch_size=st.integers(2, 9),
)
def test_the_batch_size_changes_no_sample(n_samples, routine, batch_size):
    mixture = noise(2, n_samples)
    together = separate(level, mixture, routine, batch_size=batch_size)
    np.testing.assert_array_equal(together, separate(level, mixture, routine))


@pytest.mark.parametrize(
    ("routine", "hop", "n_fft", "trim"),
    [
        ("lasaft", 1024, None, 5120),
        ("lasaft", 256, None, 5120),
        ("zero-context", 1024, 2048, 5120),
        ("lightsaft-mdx", 1024, 2048, 8192),
        ("lightsaft-mdx", 256, None, 8192),
        ("mdx-net", 1024, 6144, 3072),
        (OfficialRoutine.MDX_NET_VALIDATION, 1024, 16384, 8192),
    ],
)
def test_trims_are_those_of_the_authors(routine, hop, n_fft, trim):
    assert official_trim_samples(routine, hop_samples=hop, n_fft=n_fft) == trim


def test_the_trim_of_mdx_net_needs_its_n_fft():
    with pytest.raises(UsageError, match=r"routine 'mdx-net' trims n_fft / 2 samples; pass n_fft"):
        official_trim_samples("mdx-net", hop_samples=1024)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"routine": "lasat"}, r"no routine 'lasat' \(did you mean 'lasaft'\?\)"),
        ({"routine": "x"}, "no routine 'x'; routines are lasaft, zero-context, lightsaft-mdx, mdx"),
        ({"overlap_ratio": 0.75}, r"overlap_ratio must lie in 0\.\.0\.5, not 0\.75"),
        ({"trim_samples": 32}, r"trim_samples must lie in 0\.\.31 for chunk_samples 64, not 32"),
        ({"chunk_samples": 21}, r"overlap_ratio 0\.5 leaves no hop .* that keep 1 samples"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
    ],
)
def test_wrong_settings_are_refused_with_what_is_allowed(options, message):
    with pytest.raises(UsageError, match=message):
        separate(identity, noise(2, 100), **{"routine": "lasaft", **options})


@pytest.mark.parametrize("mixture", [np.zeros(9, np.float32), np.zeros((2, 9))])
def test_what_is_no_float32_mixture_is_refused(mixture):
    with pytest.raises(UsageError, match=r"\(channels, samples\) of float32 is needed"):
        separate(identity, mixture, "lasaft")


def test_a_network_of_another_shape_is_refused_with_both_shapes():
    with pytest.raises(UsageError, match=r"was given \(1, 2, 64\) and returned \(1, 2, 64\)"):
        separate(lambda windows: windows, noise(2, 9), "lasaft")


# ---------------------------------------------------------------- 16 bits


def through_a_file(samples):
    file = io.BytesIO()
    soundfile.write(file, samples, 44_100, format="WAV")
    file.seek(0)
    return soundfile.read(file, dtype="float64")[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantize_equals_soundfile_to_the_bit(dtype):
    generator = np.random.default_rng(0)
    edges = np.array([0, 1, -1, 2, -2, 1e30, -1e30, 1e-9, -1e-9, 1e-12, -1e-12, 0.5, -0.5])
    steps = np.arange(-32769, 32770) / 32768
    near = np.concatenate([steps + offset for offset in (0, 1e-9, -1e-9, 2**-16, -(2**-16), 1e-6)])
    small = generator.standard_normal(10_000) * 10.0 ** generator.uniform(-12, 0, 10_000)
    samples = np.concatenate([edges, near, small]).astype(dtype)
    quantized = quantize_pcm16(samples)
    expected = through_a_file(samples)
    assert quantized.dtype == dtype
    np.testing.assert_array_equal(quantized, expected)
    np.testing.assert_array_equal(np.signbit(quantized), np.signbit(expected))


@settings(deadline=None)
@given(
    st.lists(st.floats(-2, 2, width=32), max_size=20),
    st.sampled_from([np.float32, np.float64]),
)
def test_quantize_equals_soundfile_for_any_samples(values, dtype):
    samples = np.array(values, dtype)
    np.testing.assert_array_equal(quantize_pcm16(samples), through_a_file(samples))


@pytest.mark.parametrize(
    ("case", "wave", "pcm16"),
    [
        ("gpocm_lasaft", "out.wave.vocals.ov50", "out.pcm16.vocals.ov50"),
        ("v1_tfc", "out.wave", "out.pcm16"),
        ("v1_tfc_tdf", "out.wave", "out.pcm16"),
    ],
)
def test_quantize_gives_what_the_authors_code_returned(shared, case, wave, pcm16):
    tensors = load_file(shared(f"fixtures/official/{case}.safetensors"))
    np.testing.assert_array_equal(quantize_pcm16(tensors[wave]) * 32768, tensors[pcm16])


def test_importing_the_routines_imports_no_pytorch():
    code = "import sys, stemlight.separation.official_routines; print('torch' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "False"

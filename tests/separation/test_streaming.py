from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlight.chunking import ChunkPlan
from stemlight.errors import InputError, UsageError
from stemlight.separation import Separator

from .fakes import (
    SOURCES,
    FailingBackend,
    GainBackend,
    IdentityBackend,
    RecordingBackend,
    WindowBackend,
    noise,
)

PLAN = ChunkPlan(chunk_samples=100, trim_samples=10, overlap_samples=20)  # kept 80, hop 60
LONG_PLAN = ChunkPlan(chunk_samples=2000, trim_samples=200, overlap_samples=300)
RATES_HZ = [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000]


def stream_through(stream, blocks) -> dict[str, np.ndarray]:
    with stream:
        given = [stream.push(block) for block in blocks]
        given.append(stream.flush())
    return {name: np.concatenate([part[name] for part in given], axis=1) for name in stream.stems}


def partition(signal: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(signal, sorted(cut % (signal.shape[1] + 1) for cut in cuts), axis=1)


plans = st.builds(
    lambda chunk, trim, overlap: ChunkPlan(
        chunk_samples=chunk,
        trim_samples=min(trim, (chunk - 1) // 2),
        overlap_samples=min(overlap, (chunk - 2 * min(trim, (chunk - 1) // 2)) // 2),
    ),
    st.integers(1, 200),
    st.integers(0, 60),
    st.integers(0, 60),
)
cut_lists = st.lists(st.integers(0, 5000), max_size=6)


@given(plans, st.integers(0, 700), st.integers(1, 8), st.integers(1, 5), cut_lists)
@settings(max_examples=100, deadline=None)
def test_an_identity_backend_gives_the_mixture_back_to_the_last_bit(
    plan, n_samples, channels, batch_size, cuts
):
    mixture = noise(channels, n_samples)
    separator = Separator(IdentityBackend(), plan, batch_size=batch_size)
    stems = stream_through(separator.stream(channels=channels), partition(mixture, cuts))
    np.testing.assert_array_equal(stems["all"], mixture)


@given(
    st.integers(1, 3000),
    st.sampled_from(RATES_HZ) | st.integers(8000, 192000),
    st.integers(1, 6),
    cut_lists,
)
@settings(max_examples=40, deadline=None)
def test_as_many_samples_come_out_as_go_in_for_any_rate(n_samples, rate_hz, channels, cuts):
    separator = Separator(WindowBackend(44100), ChunkPlan(chunk_samples=600, trim_samples=50))
    stream = separator.stream(channels=channels, sources=["bass"], sample_rate_hz=rate_hz)
    stems = stream_through(stream, partition(noise(channels, n_samples), cuts))
    assert stems["bass"].shape == (channels, n_samples)
    assert stems["bass"].dtype == np.float32


@given(
    st.integers(1, 3000),
    st.sampled_from(RATES_HZ) | st.integers(8000, 192000),
    st.integers(1, 6),
    st.integers(1, 7),
    cut_lists,
)
@settings(max_examples=40, deadline=None)
def test_streamed_output_equals_offline_output_for_any_push_partition(
    n_samples, rate_hz, channels, batch_size, cuts
):
    separator = Separator(WindowBackend(16000), PLAN, batch_size=batch_size)
    mixture = noise(channels, n_samples)
    asked = {"sources": ["other", "vocals"], "sample_rate_hz": rate_hz, "complement": "rest"}
    offline = separator(mixture, **asked)
    streamed = stream_through(
        separator.stream(channels=channels, **asked), partition(mixture, cuts)
    )
    assert list(streamed) == list(offline) == ["other", "vocals", "rest"]
    for name in offline:
        np.testing.assert_array_equal(streamed[name], offline[name])


def test_pushing_single_samples_equals_offline_output():
    separator = Separator(WindowBackend(), PLAN, batch_size=3)
    mixture = noise(2, 500)
    streamed = stream_through(separator.stream(channels=2), np.split(mixture, 500, axis=1))
    for name, stem in separator(mixture).items():
        np.testing.assert_array_equal(streamed[name], stem)


def test_one_long_push_equals_many_short_ones():
    separator = Separator(WindowBackend(16000), PLAN)
    mixture = noise(2, 30_000)  # longer than what the stream processes at once
    asked = {"channels": 2, "sample_rate_hz": 44100, "complement": "rest"}
    long = stream_through(separator.stream(**asked), [mixture])
    short = stream_through(separator.stream(**asked), np.array_split(mixture, 70, axis=1))
    for name in long:
        np.testing.assert_array_equal(long[name], short[name])


@pytest.mark.parametrize("channels", [1, 2, 5, 6])
def test_batches_change_no_sample(channels):
    mixture = noise(channels, 1000)
    one_by_one = Separator(WindowBackend(), PLAN)(mixture)
    for batch_size in (2, 3, 4, 7, 100):
        batched = Separator(WindowBackend(), PLAN, batch_size=batch_size)(mixture)
        for name in SOURCES:
            np.testing.assert_array_equal(batched[name], one_by_one[name])


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("model_rate_hz", [8000, 44100])
def test_a_tone_keeps_its_time_and_its_level_at_any_rate(rate_hz, model_rate_hz):
    seconds = np.arange(rate_hz // 4) / rate_hz
    envelope = np.sin(np.pi * seconds / 0.25) ** 2
    mixture = (envelope * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)[np.newaxis]
    separator = Separator(GainBackend({"half": 0.5}, model_rate_hz), LONG_PLAN)
    stem = separator(mixture, sample_rate_hz=rate_hz)["half"]
    # One sample of lag at 192 kHz would be an error of 0.007.
    np.testing.assert_allclose(stem, 0.5 * mixture, rtol=0, atol=2e-4)


def test_all_channel_groups_of_a_window_share_a_batch():
    backend = RecordingBackend()
    Separator(backend, PLAN, batch_size=4)(noise(6, 3 * PLAN.hop_samples))
    assert [len(batch) for batch in backend.batches] == [4, 4, 4]
    centre = backend.batches[0][2]
    np.testing.assert_array_equal(centre[0], centre[1])


def test_a_batch_holds_several_windows_and_only_the_last_is_shorter():
    backend = RecordingBackend()
    separator = Separator(backend, PLAN, batch_size=3)
    separator(noise(2, 4 * PLAN.hop_samples + PLAN.kept_samples), sources=["drums"])
    assert [batch.shape for batch in backend.batches] == [(3, 2, 100), (2, 2, 100)]
    assert backend.asked == [("drums",)] * 2


def test_no_window_is_run_for_an_empty_signal():
    backend = RecordingBackend()
    stems = stream_through(
        Separator(backend, PLAN).stream(channels=3, sample_rate_hz=44100, complement="rest"), []
    )
    assert {name: stem.shape for name, stem in stems.items()} == dict.fromkeys(
        (*SOURCES, "rest"), (3, 0)
    )
    assert backend.batches == []


@given(st.integers(1, 3000), st.sampled_from([8000, 44100]), cut_lists)
@settings(max_examples=30, deadline=None)
def test_the_complement_is_the_mixture_minus_the_stems_sample_by_sample(n_samples, rate_hz, cuts):
    mixture = noise(2, n_samples)
    stream = Separator(WindowBackend(), PLAN).stream(
        channels=2, sources=["vocals", "bass"], sample_rate_hz=rate_hz, complement="rest"
    )
    stems = stream_through(stream, partition(mixture, cuts))
    np.testing.assert_array_equal(stems["rest"], mixture - stems["vocals"] - stems["bass"])


def test_karaoke_decodes_one_source_and_gives_two_stems():
    backend = RecordingBackend()
    stems = Separator(backend, PLAN)(noise(2, 300), sources=["vocals"], complement="no_vocals")
    assert list(stems) == ["vocals", "no_vocals"]
    assert set(backend.asked) == {("vocals",)}


@pytest.mark.parametrize(("channels", "batch_size"), [(2, 1), (2, 4), (1, 3), (6, 1), (6, 6)])
def test_a_stream_lags_less_than_a_window_and_what_waits_for_its_batch(channels, batch_size):
    stream = Separator(IdentityBackend(), PLAN, batch_size=batch_size).stream(
        channels=channels, complement="rest"
    )
    n_groups = {1: 1, 2: 1, 6: 4}[channels]
    n_waiting = -(-(batch_size - 1) // n_groups)
    bound = PLAN.kept_samples + PLAN.trim_samples + n_waiting * PLAN.hop_samples
    with stream:
        for _ in range(1000):
            stream.push(np.zeros((channels, 7), np.float32))
            assert stream.lag_samples < bound
        stream.flush()
        assert stream.lag_samples == 0


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("model_rate_hz", [8000, 44100])
def test_resampling_adds_less_than_4096_samples_of_the_lower_rate_to_the_lag(
    rate_hz, model_rate_hz
):
    stream = Separator(IdentityBackend(model_rate_hz), LONG_PLAN).stream(
        channels=1, sample_rate_hz=rate_hz
    )
    window_seconds = (LONG_PLAN.kept_samples + LONG_PLAN.trim_samples) / model_rate_hz
    bound = rate_hz * (window_seconds + 4096 / min(rate_hz, model_rate_hz))
    with stream:
        for _ in range(400):
            stream.push(np.zeros((1, 500), np.float32))
            assert stream.lag_samples < bound


@pytest.mark.parametrize("rate_hz", [8000, 48000])
def test_memory_does_not_grow_with_the_length_of_the_signal(rate_hz):
    stream = Separator(WindowBackend(), LONG_PLAN, batch_size=2).stream(
        channels=2, sample_rate_hz=rate_hz, complement="rest"
    )
    block = noise(2, 5000)

    def peak_bytes(n_blocks: int) -> int:
        tracemalloc.reset_peak()
        for _ in range(n_blocks):
            stream.push(block)
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        with stream:
            warm = peak_bytes(20)
            # Blocks align differently with windows each time, and the queue of the complement
            # doubles what waited at most: that is less than 5 blocks, a leak would be 150.
            assert peak_bytes(150) <= warm + 5 * block.nbytes
    finally:
        tracemalloc.stop()


def test_the_caller_may_reuse_the_pushed_block_and_change_what_returned():
    separator = Separator(IdentityBackend(), PLAN)
    mixture = noise(2, 600)
    given, block = [], np.empty((2, 30), np.float32)
    with separator.stream(channels=2, complement="rest") as stream:
        for first in range(0, 600, 30):
            block[:] = mixture[:, first : first + 30]
            stems = stream.push(block)
            given.append(stems["all"].copy())
            block[:] = 9
            for stem in stems.values():
                stem[:] = 9
        given.append(stream.flush()["all"])
    np.testing.assert_allclose(np.concatenate(given, axis=1), mixture, atol=1e-6)


def test_float64_is_converted_and_integers_are_refused():
    mixture = noise(2, 300)
    separator = Separator(WindowBackend(), PLAN)
    stem = separator(mixture.astype(np.float64), sources=["vocals"])["vocals"]
    assert stem.dtype == np.float32
    np.testing.assert_array_equal(stem, separator(mixture)["vocals"])
    with (
        separator.stream(channels=2) as stream,
        pytest.raises(
            UsageError, match=r"dtype int16 but .* mixture.astype\(numpy.float32\) / 3276"
        ),
    ):
        stream.push(np.zeros((2, 10), np.int16))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_a_sample_that_is_not_finite_is_refused_with_its_place_and_the_stream_goes_on(bad):
    mixture = noise(2, 8000).astype(np.float64)
    damaged = mixture[:, 4000:].copy()
    damaged[1, 2000] = bad
    with Separator(IdentityBackend(8000), PLAN).stream(channels=2) as stream:
        given = [stream.push(mixture[:, :4000])]
        with pytest.raises(InputError, match=r"not finite \(.*\) at 0\.750000 s in channel 2; rep"):
            stream.push(damaged)
        given += [stream.push(mixture[:, 4000:]), stream.flush()]
    stem = np.concatenate([stems["all"] for stems in given], axis=1)
    np.testing.assert_allclose(stem, mixture, atol=1e-6)


def test_a_stream_is_used_inside_of_with_until_it_is_flushed():
    stream = Separator(IdentityBackend(), PLAN).stream(channels=2)
    block = noise(2, 10)
    for call in (lambda: stream.push(block), stream.flush):
        with pytest.raises(UsageError, match=r"not entered; use `with separator.stream"):
            call()
    with stream:
        stream.push(block)
        stream.flush()
        for call in (lambda: stream.push(block), stream.flush):
            with pytest.raises(UsageError, match="was flushed and takes no more; make a new one"):
                call()
        with pytest.raises(UsageError, match="entered already"):
            stream.__enter__()


def test_a_stream_that_is_entered_again_starts_a_new_signal():
    stream = Separator(WindowBackend(), PLAN).stream(channels=2, complement="rest")
    first = stream_through(stream, [noise(2, 333)])
    again = stream_through(stream, [noise(2, 333)])
    for name in stream.stems:
        np.testing.assert_array_equal(first[name], again[name])


def test_a_stream_refuses_to_go_on_after_its_backend_failed():
    with Separator(FailingBackend(), PLAN).stream(channels=2) as stream:
        with pytest.raises(MemoryError, match="second window"):
            stream.push(noise(2, 1000))
        with pytest.raises(UsageError, match="failed earlier"):
            stream.push(noise(2, 1000))
        with pytest.raises(UsageError, match="failed earlier"):
            stream.flush()


def test_a_block_with_another_number_of_channels_is_refused():
    with (
        Separator(IdentityBackend(), PLAN).stream(channels=2) as stream,
        pytest.raises(UsageError, match=r"has 1 channels but .* for 2; .* stream\(channels=1\)"),
    ):
        stream.push(noise(1, 10))

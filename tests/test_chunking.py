from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlight.chunking import ChunkCutter, ChunkPlan, OverlapAdder, fade_in_weights
from stemlight.errors import ConfigError, UsageError


@st.composite
def plans(draw: st.DrawFn, most_chunk_samples: int = 60) -> ChunkPlan:
    chunk = draw(st.integers(1, most_chunk_samples))
    trim = draw(st.integers(0, (chunk - 1) // 2))
    overlap = draw(st.integers(0, (chunk - 2 * trim) // 2))
    return ChunkPlan(chunk_samples=chunk, trim_samples=trim, overlap_samples=overlap)


def noise(n_channels: int, n_samples: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n_channels, n_samples)).astype(np.float32)


def partition(signal: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(signal, sorted(cut % (signal.shape[1] + 1) for cut in cuts), axis=1)


def run(plan: ChunkPlan, signal: np.ndarray, cuts: list[int], process=lambda window, k: window):
    """Cut, process (given the window and its number) and join; the identity by default."""
    cutter, adder = ChunkCutter(plan, signal.shape[0]), OverlapAdder(plan)
    windows, joined = 0, []
    for block in partition(signal, cuts):
        for window in cutter.push(block):
            joined.append(adder.push(process(window, windows)))
            windows += 1
    adder.end_at(signal.shape[1])
    for window in cutter.flush():
        joined.append(adder.push(process(window, windows)))
        windows += 1
    joined.append(adder.flush())
    return np.concatenate(joined, axis=-1)


cut_lists = st.lists(st.integers(0, 1000), max_size=8)


@given(plans(), st.integers(1, 6), st.integers(1, 400), cut_lists)
@settings(max_examples=150, deadline=None)
def test_an_identity_network_returns_the_input_to_the_last_bit(plan, n_channels, n_samples, cuts):
    signal = noise(n_channels, n_samples)
    joined = run(plan, signal, cuts)
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined, signal)


@given(plans(), st.integers(1, 400), cut_lists)
@settings(max_examples=100, deadline=None)
def test_any_partition_of_pushes_gives_the_same_bits(plan, n_samples, cuts):
    # Every window is scaled by another number, so that the fades matter.
    def process(window: np.ndarray, k: int) -> np.ndarray:
        return window * np.float32(1 + np.sin(k))

    signal = noise(2, n_samples)
    whole = run(plan, signal, [], process)
    np.testing.assert_array_equal(run(plan, signal, cuts, process), whole)
    if n_samples < 100:
        one_by_one = run(plan, signal, list(range(n_samples)), process)
        np.testing.assert_array_equal(one_by_one, whole)


@given(plans(), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_every_window_that_is_run_contributes_to_the_result(plan, n_samples):
    n_chunks = plan.n_chunks(n_samples)
    for k in range(min(n_chunks, 20)):
        # A network that answers 1 for this window and 0 for all others.
        answer = run(
            plan, noise(1, n_samples), [], lambda window, i, k=k: np.full_like(window, i == k)
        )
        assert answer.max() > 0, f"window {k} of {n_chunks} contributes nothing"


@given(plans(), st.integers(1, 400))
def test_one_window_fewer_would_not_reach_the_end_of_the_signal(plan, n_samples):
    n_others = plan.n_chunks(n_samples) - 1
    assert n_others * plan.hop_samples + plan.kept_samples >= n_samples
    assert n_others == 0 or (n_others - 1) * plan.hop_samples + plan.kept_samples < n_samples


@given(plans(), st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_windows_start_where_the_plan_says_and_hold_zeros_outside_of_the_signal(plan, n_samples):
    signal = np.arange(1, n_samples + 1, dtype=np.float32)[np.newaxis]
    padded = np.pad(signal, ((0, 0), (plan.trim_samples, plan.chunk_samples + plan.trim_samples)))
    cutter = ChunkCutter(plan, 1)
    windows = cutter.push(signal) + cutter.flush()
    starts = plan.window_starts(n_samples)
    assert len(windows) == len(starts) == plan.n_chunks(n_samples) == cutter.n_windows
    for window, start in zip(windows, starts, strict=True):
        first = start + plan.trim_samples
        np.testing.assert_array_equal(window, padded[:, first : first + plan.chunk_samples])
    span = starts[-1] + plan.chunk_samples - starts[0]
    assert plan.total_samples(n_samples) == span >= n_samples + plan.trim_samples


def test_a_window_is_given_as_soon_as_its_last_sample_is_pushed():
    plan = ChunkPlan(chunk_samples=10, trim_samples=2, overlap_samples=3)
    cutter = ChunkCutter(plan, 1)
    given_at = [n for n in range(1, 20) for _ in cutter.push(np.ones((1, 1), np.float32))]
    assert given_at == [8, 11, 14, 17]  # first: 10 less 2 of zeros; then every 3


def test_a_window_finishes_one_hop_at_once():
    plan = ChunkPlan(chunk_samples=10, trim_samples=1, overlap_samples=3)
    adder = OverlapAdder(plan)
    for _ in range(3):
        assert adder.push(np.ones((4, 2, 10), np.float32)).shape == (4, 2, 5)
    assert adder.flush().shape == (4, 2, 3)


def test_the_first_and_the_last_kept_region_do_not_fade_at_the_borders_of_the_signal():
    plan = ChunkPlan(chunk_samples=12, trim_samples=1, overlap_samples=4)
    levels = [1.0, 0.0, 2.0]
    joined = run(plan, noise(1, 22), [], lambda window, k: np.full_like(window, levels[k]))[0]
    fade = fade_in_weights(4)
    expected = np.concatenate([np.ones(6), 1 - fade, np.zeros(2), 2 * fade, np.full(6, 2.0)])
    np.testing.assert_allclose(joined, expected, atol=1e-6)


@pytest.mark.parametrize("n_samples", [0, 1, 2, 3, 10, 4096, 4097])
def test_fading_in_and_out_sum_to_exactly_one_and_rise_as_a_squared_sine(n_samples):
    weights = fade_in_weights(n_samples)
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights + weights[::-1], np.ones(n_samples, np.float32))
    assert (np.diff(weights) >= 0).all()
    phase = (np.arange(n_samples) + 0.5) / max(n_samples, 1) * np.pi / 2
    np.testing.assert_allclose(weights, np.sin(phase) ** 2, atol=1e-7)


def test_a_signal_without_samples_needs_no_window():
    plan = ChunkPlan(chunk_samples=10, trim_samples=2)
    assert plan.n_chunks(0) == 0
    assert plan.total_samples(0) == 0
    assert list(plan.window_starts(0)) == []
    assert run(plan, noise(2, 0), []).shape[-1] == 0


def test_without_a_known_end_the_signal_ends_with_the_last_kept_region():
    adder = OverlapAdder(ChunkPlan(chunk_samples=10, overlap_samples=4))
    assert adder.push(np.ones((1, 10), np.float32)).shape == (1, 6)
    assert adder.flush().shape == (1, 4)


def test_what_is_given_shares_no_memory_with_what_was_pushed():
    plan = ChunkPlan(chunk_samples=8, trim_samples=1, overlap_samples=2)
    cutter, adder = ChunkCutter(plan, 1), OverlapAdder(plan)
    block = np.ones((1, 30), np.float32)
    windows = cutter.push(block)
    block[:] = 7
    assert all((window <= 1).all() for window in windows)
    finished = adder.push(windows[0])
    windows[0][:] = 7
    finished[:] = 9
    np.testing.assert_array_equal(adder.push(windows[1])[:, :2], 1)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({"chunk_samples": 0}, "chunk_samples must be at least 1, not 0"),
        ({"chunk_samples": True}, "chunk_samples must be a whole number of samples, not True"),
        (
            {"chunk_samples": 10, "trim_samples": 5},
            r"trim_samples must lie in 0\.\.4 for chunk_samples 10, not 5; trim less",
        ),
        ({"chunk_samples": 10, "trim_samples": -1}, r"trim_samples must lie in 0\.\.4 .* not -1"),
        (
            {"chunk_samples": 10, "trim_samples": 1, "overlap_samples": 5},
            r"overlap_samples must lie in 0\.\.4, half of the 8 samples .*, not 5; overlap or trim",
        ),
        ({"chunk_samples": 10, "overlap_samples": -2}, r"must lie in 0\.\.5, .* not -2"),
    ],
)
def test_impossible_lengths_are_refused_with_what_came_and_what_is_allowed(lengths, message):
    with pytest.raises(ConfigError, match=message):
        ChunkPlan(**lengths)


def test_a_length_that_is_no_integer_is_refused(request):
    if request.config.getoption("--jaxtyping-packages", None):
        pytest.skip("the type checker refuses it first")
    with pytest.raises(ConfigError, match=r"chunk_samples must be a whole number .*, not 8\.0"):
        ChunkPlan(chunk_samples=8.0)


def test_misuse_is_refused_with_what_to_do():
    plan = ChunkPlan(chunk_samples=10)
    cutter, adder = ChunkCutter(plan, 2), OverlapAdder(plan)
    with pytest.raises(UsageError, match="n_samples must be at least 0, not -1"):
        plan.n_chunks(-1)
    with pytest.raises(UsageError, match=r"shape \(1, 5\) but this ChunkCutter takes \(2, samp"):
        cutter.push(np.zeros((1, 5), np.float32))
    with pytest.raises(UsageError, match=r"the window has 9 samples but .* windows of 10"):
        adder.push(np.zeros((1, 9), np.float32))
    adder.push(np.zeros((1, 10), np.float32))
    with pytest.raises(UsageError, match="cannot end at 9: 10 samples were given already"):
        adder.end_at(9)
    adder.end_at(11)
    with pytest.raises(UsageError, match=r"the signal has 11 samples but .* hold only 10"):
        adder.flush()
    for call in (adder.flush, lambda: adder.push(np.zeros((1, 10), np.float32))):
        with pytest.raises(UsageError, match="this OverlapAdder was flushed"):
            call()
    cutter.flush()
    for call in (cutter.flush, lambda: cutter.push(np.zeros((2, 1), np.float32))):
        with pytest.raises(UsageError, match="this ChunkCutter was flushed"):
            call()

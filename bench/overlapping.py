"""What it would gain to transform one window while the network runs another.

    python -m bench.overlapping [--windows 10] [--runs 5]

The embedded model's windows one after the other, as the engine takes them; the inverse transform of
a window while the network runs the next; and two windows at a time. All with two threads for the
network, the best of some runs. What the network alone takes is the limit of all of them.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

import stemlight
from bench.material import EXAMPLE, music
from bench.peers import N_THREADS
from stemlight.separation.onnx_engine import OnnxEngine
from stemlight.separation.pipeline import BackendMaker
from stemlight.weights.cards import ModelCard


def one_after_the_other(engine: OnnxEngine, windows: list[np.ndarray]) -> None:
    """Transform, run and transform back, a window at a time."""
    for window in windows:
        engine.separate_chunks(window, engine.sources)


def inverse_beside(engine: OnnxEngine, windows: list[np.ndarray]) -> None:
    """Give the network its next window before the last one is transformed back."""
    network, _ = engine._network(engine.sources)
    running: Future[list[np.ndarray]] | None = None
    with ThreadPoolExecutor(1) as thread:
        for window in [*windows, None]:
            following = None
            if window is not None:
                following = thread.submit(network, engine.stft.analyse(window).planes)
            if running is not None:
                for planes in running.result():
                    engine.stft.inverse(planes)
            running = following


def two_at_a_time(engine: OnnxEngine, windows: list[np.ndarray]) -> None:
    """Run two windows at once, each as it is run now; activations need twice the memory."""
    with ThreadPoolExecutor(2) as threads:
        for _ in threads.map(lambda w: engine.separate_chunks(w, engine.sources), windows):
            pass


def network_alone(engine: OnnxEngine, windows: list[np.ndarray]) -> None:
    """Run the network on one and the same planes."""
    network, _ = engine._network(engine.sources)
    planes = engine.stft.analyse(windows[0]).planes
    for _ in windows:
        network(planes)


WAYS: tuple[Callable[[OnnxEngine, list[np.ndarray]], None], ...] = (
    one_after_the_other,
    inverse_beside,
    two_at_a_time,
    network_alone,
)


def measure(work: Callable[[], None], n_runs: int) -> tuple[float, float]:
    """Return wall and CPU seconds of the best of some runs."""
    runs = []
    for _ in range(n_runs):
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        runs.append((time.perf_counter() - start, time.process_time() - start_cpu))
    return min(runs)


def main() -> None:
    """Measure all ways and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    for precision in ("float32", "int8"):
        maker = stemlight.load(precision=precision, n_threads=N_THREADS).maker
        assert isinstance(maker, BackendMaker)
        engine = maker.backend
        assert isinstance(engine, OnnxEngine)
        card = stemlight.model_card()
        assert isinstance(card, ModelCard)
        n_samples = card.model_config().chunk.chunk_samples
        mixture, _ = music(EXAMPLE, arguments.windows * n_samples / engine.sample_rate_hz + 1)
        windows = [
            np.ascontiguousarray(mixture[np.newaxis, :, first : first + n_samples])
            for first in range(0, arguments.windows * n_samples, n_samples)
        ]
        one_after_the_other(engine, windows[:1])
        for way in WAYS:
            wall, cpu = measure(functools.partial(way, engine, windows), arguments.runs)
            name = way.__name__.replace("_", " ")
            print(f"{precision:8s} {name:20s} wall {wall:.2f} s  CPU {cpu:.2f} s", flush=True)


if __name__ == "__main__":
    main()

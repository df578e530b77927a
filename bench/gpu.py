"""Speed of models on a GPU: batches, precisions, compiled graphs, share of the card's limit.

    python -m bench.gpu [MODEL...] [--seconds 120] [--batches 1 8 32] [--onnx] [--compile]

Music is in memory before and the stems are in memory after; the best of three after a warm-up, for
which `--compile` waits out the compilation. Work is what the network needs, two operations for each
multiply-add, without transforms; the card's limit is what the largest of some matrix products
reaches in the same run and precision. `--device cpu` tries the script out where there is no card.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import stemlight
from bench.material import EXAMPLE, music
from stemlight.errors import StemlightError
from stemlight.models.config import ModelConfig
from stemlight.models.size import network_size
from stemlight.separation.pipeline import BackendMaker
from stemlight.separation.separator import Separator
from stemlight.separation.torch_engine import TorchEngine
from stemlight.weights.cards import ModelCard

N_RUNS = 3
SIDES = {"cuda": (4096, 8192, 16384), "cpu": (512, 1024)}
COLUMNS = (
    "engine",
    "batch",
    "times real time",
    "TFLOP/s",
    "of the limit",
    "peak GPU MB",
    "dB from float32",
)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def limit_flops(device: str, precision: str) -> float:
    """Return the operations per second of the best of some square matrix products."""
    best = 0.0
    for side in SIDES[device]:
        one = torch.randn(side, side, device=device, dtype=DTYPES[precision])
        seconds = best_seconds(partial(torch.matmul, one, one), device)
        best = max(best, 2 * side**3 / seconds)
    return best


def best_seconds(run: Callable[[], object], device: str) -> float:
    """Return the least of some runs' times, the card's work included, after one for warming up."""
    times = []
    for _ in range(1 + N_RUNS):
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def compiled(separator: Separator) -> Separator:
    """Compile the network of a separator on the torch engine."""
    assert isinstance(separator.maker, BackendMaker)
    backend = separator.maker.backend
    assert isinstance(backend, TorchEngine)
    backend.model.network.compile()
    return separator


def ways(
    model: str, device: str, arguments: argparse.Namespace
) -> Iterator[tuple[str, str, int, Callable[[], Separator]]]:
    """Yield name, precision and batch of each row, and what loads it."""
    for batch_size in arguments.batches:
        for precision in DTYPES:
            short = {"float32": "f32", "bfloat16": "bf16"}[precision]
            options = {"device": device, "precision": precision, "batch_size": batch_size}

            def load(options: dict[str, object] = options) -> Separator:
                return stemlight.load(model, engine="torch", **options)  # type: ignore[arg-type]

            yield f"torch {short}", precision, batch_size, load
            if arguments.compile:

                def load_compiled(load: Callable[[], Separator] = load) -> Separator:
                    return compiled(load())

                yield f"torch {short} compiled", precision, batch_size, load_compiled
        if arguments.onnx:

            def load_onnx(batch_size: int = batch_size) -> Separator:
                return stemlight.load(model, engine="onnx", device=device, batch_size=batch_size)

            yield "onnx f32", "float32", batch_size, load_onnx


def measure(model: str, mixture: np.ndarray, rate_hz: int, arguments: argparse.Namespace) -> Table:
    """Separate with one model in every way; a way that fails says why in its row."""
    device = arguments.device
    card = stemlight.model_card(model)
    assert isinstance(card, ModelCard), f"{model} is a system; name one of its models"
    config = card.model_config()
    table = Table(title=f"{model}: {work_of(config):.1f} GFLOP per second of music, all sources")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "engine" else "right")
    limits = {precision: limit_flops(device, precision) for precision in DTYPES}
    exact: np.ndarray | None = None
    for name, precision, batch_size, load in ways(model, device, arguments):
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        try:
            separator = load()
            stems: dict[str, np.ndarray] = {}

            def run(separator: Separator = separator, stems: dict[str, np.ndarray] = stems) -> None:
                stems.update(separator(mixture, sample_rate_hz=rate_hz))

            seconds = best_seconds(run, device)
        except (StemlightError, torch.OutOfMemoryError) as error:
            table.add_row(name, str(batch_size), " ".join(str(error).split())[:60])
            continue
        found = np.stack(list(stems.values()))
        exact = found if exact is None else exact
        speed = mixture.shape[1] / rate_hz / seconds
        flops = 1e9 * work_of(config) * speed
        peak = torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else float("nan")
        table.add_row(
            name,
            str(batch_size),
            f"{speed:.1f}",
            f"{flops / 1e12:.2f}",
            f"{flops / limits[precision]:.0%}",
            f"{peak:.0f}",
            f"{distance_db(exact, found):.0f}",
        )
    reached = ", ".join(f"{name} {limit / 1e12:.1f}" for name, limit in limits.items())
    table.caption = f"limit in TFLOP/s: {reached}"
    return table


def work_of(config: ModelConfig) -> float:
    """Return the network's operations in 10^9 for a second of music and all sources."""
    return 2 * network_size(config, n_sources=len(config.sources)).gmac_per_second


def distance_db(exact: np.ndarray, found: np.ndarray) -> float:
    """Return how far below the exact stems the difference to them lies."""
    error = np.square(found - exact, dtype=np.float64).sum()
    power = np.square(exact, dtype=np.float64).sum()
    return float("inf") if error == 0 else float(10 * np.log10(power / error))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", default=["stemlight"])
    parser.add_argument("--song", type=Path, default=EXAMPLE)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--device", choices=list(SIDES), default="cuda")
    parser.add_argument("--onnx", action="store_true", help="ONNX Runtime on the same device, too")
    parser.add_argument("--compile", action="store_true", help="compiled networks, too")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here; --device cpu tries the script out")
    mixture, rate_hz = music(arguments.song, arguments.seconds)
    for model in arguments.models:
        Console().print(measure(model, mixture, rate_hz, arguments))


if __name__ == "__main__":
    main()

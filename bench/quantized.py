"""What eight bits do to an embedded model: decibels of SDR, and seconds, against float32.

    python -m bench.quantized --tracks DIR --only FILE [--model NAME] [--songs DIR] [--calibrate 12]
        [--variants NAME...]

Weights of 8 bits have one scale for each channel; the ranges of inputs come from windows of tracks
that are not in FILE, or of the songs in --songs; the tracks in FILE are scored. Variants leave more
or less of the network in float32. Seconds are CPU seconds of one thread for a window.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx

from stemlight.evaluation import evaluate_tracks
from stemlight.models.config import ModelConfig
from stemlight.models.transforms import build_stft
from stemlight.separation.onnx_engine import OnnxEngine
from stemlight.separation.separator import Separator
from stemlight.separation.sessions import OnnxRuntime
from stemlight.tracks import find_tracks
from stemlight.weights.cards import GRAPH_FILE, ModelCard, read_card, verified_file
from stemlight.weights.catalogue import DEFAULT_MODEL, find_model
from stemlight.weights.quantizing import nodes_that_read_products, planes_of_songs, quantize_graph

Item = TypeVar("Item")

N_TIMED = 15
NARROW_CHANNELS = 40  # of input; the widest maps, next to the mixture and the estimates, are narrow


def no_nodes(model: onnx.ModelProto) -> Iterable[str]:
    """Leave nothing out."""
    return ()


def narrow_nodes(model: onnx.ModelProto) -> Iterator[str]:
    """Yield the convolutions that read few features."""
    widths = {tensor.name: tensor.dims[1] for tensor in model.graph.initializer if tensor.dims[1:]}
    for node in model.graph.node:
        if node.op_type == "Conv" and widths[node.input[1]] < NARROW_CHANNELS:
            yield node.name


ALL = ("Conv", "ConvTranspose", "MatMul")
VARIANTS: dict[str, tuple[Sequence[str], Callable[[onnx.ModelProto], Iterable[str]]]] = {
    "float32": ((), no_nodes),
    "int8, as in the package": (("Conv",), nodes_that_read_products),
    "all convolutions": (("Conv",), no_nodes),
    "wide convolutions": (("Conv",), narrow_nodes),
    "transposed ones, too": (("Conv", "ConvTranspose"), nodes_that_read_products),
    "matrix products, too": (ALL, nodes_that_read_products),
    "everything": (ALL, no_nodes),
}


def quantize(graph: Path, name: str, windows: Sequence[np.ndarray], folder: Path) -> Path:
    """Write a variant of the graph."""
    operators, left_out = VARIANTS[name]
    if not operators:
        return graph
    path = folder / f"{name}.onnx"
    quantize_graph(graph, path, windows, operators=operators, left_out=left_out)
    return path


def seconds_of(graphs: Mapping[str, Path], planes: np.ndarray) -> dict[str, float]:
    """Return the least CPU seconds of one thread for a window; all graphs take turns."""
    runs = {name: OnnxRuntime(n_threads=1)(graph) for name, graph in graphs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(1 + N_TIMED):
        for name, run in runs.items():
            start = time.process_time()
            run(planes)
            seconds[name].append(time.process_time() - start)
    return {name: min(taken[1:]) for name, taken in seconds.items()}


def engine_of(graph: Path, config: ModelConfig) -> OnnxEngine:
    """Return an embedded model's engine on another graph."""
    return OnnxEngine(
        graph,
        stft=build_stft(config.stft),
        sources=config.sources,
        sample_rate_hz=config.sample_rate_hz,
    )


def spread(items: Sequence[Item], n: int) -> Sequence[Item]:
    """Return n of the items, evenly spread."""
    return items[:: max(1, len(items) // n)][:n]


def main() -> None:
    """Quantize, score, time and print a row for each variant."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--only", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--songs", type=Path, help="a folder to measure ranges of, not the tracks")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--calibrate", type=int, default=12, help="windows, one of a track")
    arguments = parser.parse_args()
    folder = find_model(arguments.model)
    card = read_card(folder)
    assert isinstance(card, ModelCard)
    config = card.model_config()
    names = set(arguments.only.read_text(encoding="utf-8").splitlines())
    tracks = find_tracks(arguments.tracks, sources=config.sources)
    rate_hz = config.sample_rate_hz
    chosen = [(t.name, *t.read(config.sources, rate_hz)) for t in tracks if t.name in names]
    others = [track for track in tracks if track.name not in names]
    graph = verified_file(folder, card, GRAPH_FILE)
    if arguments.songs is not None:
        songs = spread(sorted(arguments.songs.iterdir()), arguments.calibrate)
        windows = planes_of_songs(songs, config)
    else:
        n_samples, stft = config.chunk.chunk_samples, engine_of(graph, config).stft
        windows = [
            stft.analyse(track.read(config.sources, rate_hz)[0][None, :, :n_samples])[0]
            for track in spread(others, arguments.calibrate)
        ]
    print("variant                   SDR dB  " + "  ".join(config.sources) + "  seconds  MB")
    with tempfile.TemporaryDirectory() as place:
        graphs = {name: quantize(graph, name, windows, Path(place)) for name in arguments.variants}
        seconds = seconds_of(graphs, windows[0])
        for name, variant in graphs.items():
            scores = evaluate_tracks(Separator(engine_of(variant, config), config.chunk), chosen)
            stems = "  ".join(f"{scores.mean_sdr_db[source]:.2f}" for source in config.sources)
            print(
                f"{name:25s} {scores.average_sdr_db:6.2f}  {stems}"
                f"  {seconds[name]:.3f}  {variant.stat().st_size / 1e6:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

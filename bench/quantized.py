"""What eight bits do to the embedded model: decibels of SDR, and seconds, against float32.

    python -m bench.quantized --tracks DIR --only FILE [--calibrate 12] [--variants NAME...]

Convolutions and matrix products get 8-bit weights (one scale for each channel) and 8-bit inputs,
whose ranges come from windows of tracks that are not in FILE; the tracks in FILE are scored.
Variants leave some of the network in float32. Seconds are CPU seconds of one thread for a window.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx

from stemlight.evaluation import evaluate_tracks
from stemlight.models.config import ModelConfig
from stemlight.separation.onnx_engine import OnnxEngine
from stemlight.separation.separator import Separator
from stemlight.separation.sessions import OnnxRuntime
from stemlight.stft import Stft
from stemlight.tracks import find_tracks
from stemlight.weights.cards import GRAPH_FILE, ModelCard, read_card, verified_file
from stemlight.weights.catalogue import DEFAULT_MODEL, find_model
from stemlight.weights.quantizing import quantize_graph

N_TIMED = 9
VARIANTS = {
    "float32": (),
    "int8, all": ("Conv", "ConvTranspose", "MatMul"),
    "int8, matrix products": ("MatMul",),
    "int8, convolutions": ("Conv",),
    "int8, wide convolutions": ("Conv",),
}
NARROW_CHANNELS = 40  # of input; the widest maps, next to the mixture and the estimates, are narrow


def quantize(graph: Path, name: str, windows: Sequence[np.ndarray], folder: Path) -> Path:
    """Write a variant of the graph."""
    if not VARIANTS[name]:
        return graph
    path = folder / f"{name}.onnx"
    left_out = list(narrow_nodes(graph)) if "wide" in name else []
    quantize_graph(graph, path, windows, operators=VARIANTS[name], left_out=left_out)
    return path


def narrow_nodes(graph: Path) -> Iterator[str]:
    """Yield the convolutions that read few features."""
    model = onnx.load(graph)
    widths = {tensor.name: tensor.dims[1] for tensor in model.graph.initializer if tensor.dims[1:]}
    for node in model.graph.node:
        if node.op_type == "Conv" and widths.get(node.input[1], 0) < NARROW_CHANNELS:
            yield node.name


def seconds_of(graph: Path, planes: np.ndarray) -> float:
    """Return the median CPU seconds of one thread for a window."""
    run = OnnxRuntime(n_threads=1)(graph)
    seconds = []
    for _ in range(1 + N_TIMED):
        start = time.process_time()
        run(planes)
        seconds.append(time.process_time() - start)
    return float(np.median(seconds[1:]))


def engine_of(graph: Path, config: ModelConfig) -> OnnxEngine:
    """Return the embedded model's engine on another graph."""
    stft = config.stft
    return OnnxEngine(
        graph,
        stft=Stft(stft.n_fft, stft.hop_samples, packing=stft.packing, kept_bins=stft.kept_bins),
        sources=config.sources,
        sample_rate_hz=config.sample_rate_hz,
    )


def main() -> None:
    """Quantize, score, time and print a row for each variant."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--only", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--calibrate", type=int, default=12, help="windows, one of a track")
    arguments = parser.parse_args()
    folder = find_model(DEFAULT_MODEL)
    card = read_card(folder)
    assert isinstance(card, ModelCard)
    config = card.model_config()
    names = set(arguments.only.read_text(encoding="utf-8").splitlines())
    tracks = find_tracks(arguments.tracks, sources=config.sources)
    rate_hz = config.sample_rate_hz
    chosen = [(t.name, *t.read(config.sources, rate_hz)) for t in tracks if t.name in names]
    others = [track for track in tracks if track.name not in names]
    graph = verified_file(folder, card, GRAPH_FILE)
    stft = engine_of(graph, config).stft
    windows = [
        stft.analyse(track.read(config.sources, rate_hz)[0][None, :, : config.chunk.chunk_samples])[
            0
        ]
        for track in others[:: max(1, len(others) // arguments.calibrate)][: arguments.calibrate]
    ]
    print("variant                   SDR dB  " + "  ".join(config.sources) + "  seconds  MB")
    with tempfile.TemporaryDirectory() as place:
        for name in arguments.variants:
            variant = quantize(graph, name, windows, Path(place))
            scores = evaluate_tracks(Separator(engine_of(variant, config), config.chunk), chosen)
            stems = "  ".join(f"{scores.mean_sdr_db[source]:.2f}" for source in config.sources)
            print(
                f"{name:25s} {scores.average_sdr_db:6.2f}  {stems}"
                f"  {seconds_of(variant, windows[0]):.3f}  {variant.stat().st_size / 1e6:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

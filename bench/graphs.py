"""Compares graphs, and ways of running them, in one process: CPU seconds of one thread.

    python -m bench.graphs ONE.onnx [OTHER.onnx...] [--frames 256] [--n-sources 4] [--runs 21]
        [--openvino f32 bf16] [--unblocked]

All get the same noise and run in turns, so that what else the machine does falls on all alike. The
difference is the largest of all samples from the first one's output, over its root mean square.
Graphs of before version 0.1, which take the asked sources as an input, are run as well.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from stemlight.separation.sessions import open_session

Run = Callable[[dict[str, np.ndarray]], np.ndarray]


def with_onnx_runtime(graph: Path, *, blocked: bool = True) -> Run:
    """Return what runs a graph as the default engine does, or without its layout in blocks."""
    if blocked:
        session = open_session(graph, n_threads=1)
    else:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(str(graph), options)
    asked = [given.name for given in session.get_inputs()]
    return lambda feed: together(session.run(None, {name: feed[name] for name in asked}))


def with_openvino(graph: Path, precision: str) -> Run:
    """Return what runs a graph with OpenVINO."""
    openvino: Any = __import__("openvino")
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": precision}
    request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()
    asked = [given.any_name for given in request.model_inputs]

    def run(feed: dict[str, np.ndarray]) -> np.ndarray:
        found = request.infer({name: feed[name] for name in asked}, share_inputs=True)
        return together([found[port] for port in request.model_outputs])

    return run


def together(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """Put the outputs of a graph, one for each source, into one array."""
    return outputs[0] if len(outputs) == 1 else np.stack(outputs, axis=1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("graphs", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--n-sources", type=int, default=4)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--unblocked", action="store_true", help="ONNX Runtime's plain layout, too")
    parser.add_argument("--openvino", nargs="*", default=[], choices=["f32", "bf16"])
    arguments = parser.parse_args()
    ways: dict[str, Run] = {str(graph): with_onnx_runtime(graph) for graph in arguments.graphs}
    if arguments.unblocked:
        for graph in arguments.graphs:
            ways[f"{graph}, unblocked"] = with_onnx_runtime(graph, blocked=False)
    for precision in arguments.openvino:
        graph = arguments.graphs[0]
        ways[f"{graph}, OpenVINO {precision}"] = with_openvino(graph, precision)
    _, n_planes, _, n_bins = open_session(arguments.graphs[0], optimize=False).get_inputs()[0].shape
    shape = (1, n_planes, arguments.frames, n_bins)
    feed = {
        "planes": np.random.default_rng(0).standard_normal(shape).astype(np.float32),
        "sources": np.arange(arguments.n_sources),
    }
    outputs = {name: np.array(run(feed)) for name, run in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.runs):
        for name, run in ways.items():
            start = time.process_time()
            run(feed)
            seconds[name].append(time.process_time() - start)
    first = next(iter(outputs.values()))
    rms = np.sqrt(np.mean(np.square(first)))
    for name, found in seconds.items():
        difference = np.abs(outputs[name] - first).max() / rms
        print(f"{np.median(found):.3f} (least {min(found):.3f})  {difference:.1e}  {name}")


if __name__ == "__main__":
    main()

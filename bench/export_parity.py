"""Every preset in full size as an ONNX graph: how far it is from PyTorch, and what it costs.

    python -m bench.export_parity [PRESET...]

Weights are drawn as the authors draw them, and the statistics of all norms made no identity. The
difference is the largest of all samples of the output, over its root mean square, for two items of
a batch, two asked sources (one, of a dedicated network), and the fewest frames that all networks
take, on one thread. Prints a table in Markdown, as in docs/models.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from stemlight.models.initialisation import fresh_model
from stemlight.models.presets import PRESETS, initialisation_of
from stemlight.models.spectrogram import SpectrogramModel
from stemlight.separation.onnx_engine import output_of
from stemlight.weights.export import export_onnx

COLUMNS = ("preset", "difference", "graph MB", "export s", "torch s", "onnx s", "encoder runs")


def used_model(preset: str) -> SpectrogramModel:
    """Build a model whose norms do something, as they do after training."""
    model = fresh_model(PRESETS[preset], initialisation_of(preset))
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model


def row_of(preset: str, graph: Path) -> list[str]:
    """Export a preset, run it on both engines and compare."""
    config, model = PRESETS[preset], used_model(preset)
    network = model.network
    start = time.perf_counter()
    export_onnx(model, graph, config.sources)
    seconds = [time.perf_counter() - start]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    n_frames = max(32, config.network.frame_multiple)
    shape = (2, config.stft.n_planes, n_frames, model.stft.kept_bins)
    planes = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    asked = [2, 0] if network.n_sources > 2 else [0]
    sources, outputs = torch.tensor(asked), [output_of(config.sources[index]) for index in asked]
    start = time.perf_counter()
    with torch.inference_mode():
        expected = network(planes, sources).numpy()
    seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    found = np.stack(session.run(outputs, {"planes": planes.numpy()}), axis=1)
    seconds.append(time.perf_counter() - start)
    difference = np.abs(found - expected).max() / np.sqrt(np.mean(expected.astype(np.float64) ** 2))
    passes = "once" if not network.encoder_is_conditioned else "for each source"
    return [
        f"`{preset}`",
        f"{difference:.1e}",
        f"{graph.stat().st_size / 1e6:.1f}",
        *(f"{each:.1f}" for each in seconds),
        passes,
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", metavar="PRESET", default=list(PRESETS))
    torch.set_num_threads(1)
    print("|", " | ".join(COLUMNS), "|")
    print("|---" + "|---:" * (len(COLUMNS) - 2) + "|---|")
    with tempfile.TemporaryDirectory() as folder:
        for preset in parser.parse_args().presets:
            print("|", " | ".join(row_of(preset, Path(folder) / "graph.onnx")), "|", flush=True)


if __name__ == "__main__":
    main()

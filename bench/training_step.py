"""Seconds for one training step of a preset's network on the CPU, as it is and otherwise.

    python -m bench.training_step [--channels-last] [--compile]

Three windows of 128 frames, all sources, bf16 autocast, forward and backward pass; the best of five
after a warm-up, which for `--compile` holds the compilation.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from stemlight.models.presets import resolve_preset
from stemlight.models.spectrogram import build_model

N_WINDOWS, N_FRAMES, N_RUNS = 3, 128, 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="stemlight-bands")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    model = build_model(resolve_preset(arguments.preset))
    network: torch.nn.Module = model.network.train()
    if arguments.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = torch.compile(network) if arguments.compile else network
    planes = torch.randn(N_WINDOWS, 4, N_FRAMES, model.stft.kept_bins)
    sources = torch.arange(4)

    def step() -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            estimates: Tensor = run(planes, sources)
        torch.autograd.backward(estimates.float().square().mean())
        return time.perf_counter() - start

    warm_up = step()
    best = min(step() for _ in range(N_RUNS))
    print(f"first step {warm_up:.1f} s, best of the next {N_RUNS} {best:.2f} s")


if __name__ == "__main__":
    main()

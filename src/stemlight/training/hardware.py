"""What a run computes on: what is here of what its recipe asks for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from lightning.pytorch.strategies import Strategy

from stemlight.errors import ConfigError
from stemlight.training.recipe import HardwareConfig
from stemlight.training.sharding import sharding_strategy

__all__ = ["present_hardware", "rounding", "strategy_of"]


def present_hardware(hardware: HardwareConfig) -> HardwareConfig:
    """Fill in what the recipe leaves to the machine, or to `torchrun`.

    Raises:
        ConfigError: it asks for what is not here.
    """
    there: dict[Literal["auto", "cpu", "cuda", "mps"], bool] = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    accelerator = hardware.accelerator
    if accelerator == "auto":
        accelerator = next(name for name, is_there in there.items() if is_there)
    elif not there[accelerator]:
        here = ", ".join(name for name, is_there in there.items() if is_there)
        raise ConfigError(f"hardware.accelerator {accelerator} is not here; choose from {here}")
    devices, nodes = hardware.devices, hardware.nodes
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise ConfigError(
            f"hardware.devices is {devices}, but there are {torch.cuda.device_count()} GPUs here"
        )
    if accelerator == "mps" and devices * nodes > 1:
        raise ConfigError("hardware.devices and nodes must be 1 on mps")
    return replace(hardware, accelerator=accelerator, devices=devices, nodes=nodes)


@contextlib.contextmanager
def rounding(hardware: HardwareConfig) -> Iterator[None]:
    """Set how GPUs of NVIDIA round products, while the block runs."""
    if hardware.accelerator != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = hardware.tf32
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def strategy_of(hardware: HardwareConfig) -> str | Strategy:
    """Return how Lightning has several processes share the work."""
    if hardware.strategy == "fsdp":
        return sharding_strategy(hardware.n_processes)
    return "ddp" if hardware.n_processes > 1 else "auto"

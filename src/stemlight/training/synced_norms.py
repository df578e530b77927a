"""Batch norms whose statistics are those of the whole batch, however many processes share it."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["SyncedBatchNorm", "synchronise_norms"]


class SyncedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm over all processes; PyTorch's own runs on GPUs alone.

    Every process must see as many items as the others.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        assert input.dim() >= 2, "a batch norm needs items and features"

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the mean and variance of the items of all processes."""
        if not self.training or not dist.is_initialized():
            return super().forward(input)
        axes = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        values = input.float()
        n_values = values.numel() // values.shape[1] * dist.get_world_size()
        mean = _sum(values.sum(axes)) / n_values
        centred = values - mean.view(shape)
        variance = _sum(centred.square().sum(axes)) / n_values
        self._remember(mean.detach(), variance.detach() * n_values / max(1, n_values - 1))
        output = centred * torch.rsqrt(variance.view(shape) + self.eps)
        if self.affine:
            output = output * self.weight.view(shape) + self.bias.view(shape)
        return output.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.momentum is not None, "networks of ours average over a number of steps"
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def _sum(values: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    """The sum over all processes; each process's gradient is the sum of all of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def synchronise_norms(module: nn.Module, *, on_gpu: bool) -> None:
    """Put norms over all processes in place of every batch norm; names and weights stay."""
    for name, child in module.named_children():
        if not isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            synchronise_norms(child, on_gpu=on_gpu)
            continue
        kind = nn.SyncBatchNorm if on_gpu else SyncedBatchNorm
        synced = kind(child.num_features, child.eps, child.momentum, child.affine)
        synced.load_state_dict(child.state_dict())
        for parameter, original in zip(synced.parameters(), child.parameters(), strict=True):
            parameter.requires_grad_(original.requires_grad)
        setattr(module, name, synced.train(child.training))

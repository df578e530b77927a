"""Optimizers and their schedules: how far weights move at each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stemlight.errors import ConfigError

__all__ = [
    "Muon",
    "OptimizerConfig",
    "Patience",
    "kept_of_optimizer",
    "learning_rate_factor",
    "make_optimizer",
]

_MUON_MOMENTUM = 0.95
_KEPT = ("kind", "learning_rate", "weight_decay", "betas", "momentum")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """An optimizer, and how its learning rate goes on from step to step.

    All schedules begin with a linear warm-up. `cosine` then stays and falls by half a cosine down
    to the final share; `constant` stays; `plateau` falls whenever validation has not improved for
    some time.
    """

    kind: Literal["adam", "adamw", "rmsprop", "muon"] = "adamw"
    """muon: matrices and kernels of the hidden layers by Muon, all else by AdamW; one learning rate
    and one weight decay serve both."""
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    """Added to the gradient by adam and rmsprop, apart from it by adamw and muon."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Memory of gradients and of their squares, of adam, adamw and muon's AdamW."""
    momentum: float | None = None
    """Of rmsprop (None: 0) and muon (None: 0.95)."""
    clip_norm: float | None = 1.0
    """Largest norm of all gradients together; None: any."""
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    warmup_steps: int = 50
    decay_from: float = 0.5
    """Of cosine: share of all steps after which the rate falls."""
    final_share: float = 0.02
    """Of cosine and plateau: share of the learning rate that is left in the end."""
    plateau_patience: int = 5
    """Of plateau: validations in a row without a better one before the rate falls."""
    plateau_factor: float = 0.5
    """Of plateau: by what the rate falls."""

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(
                f"optimizer.learning_rate must be more than 0, not {self.learning_rate}"
            )
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"optimizer.weight_decay must be at least 0, not {self.weight_decay}")
        for name, memories in (("betas", self.betas), ("momentum", (self.momentum or 0.0,))):
            if not all(0 <= memory < 1 for memory in memories):
                given = ", ".join(map(str, memories))
                raise ConfigError(f"optimizer.{name} must be at least 0 and below 1, not {given}")
        for name in ("decay_from", "final_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"optimizer.{name} must lie in 0..1, not {getattr(self, name)}")
        if self.warmup_steps < 0:
            raise ConfigError(f"optimizer.warmup_steps must be at least 0, not {self.warmup_steps}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ConfigError(
                f"optimizer.clip_norm must be more than 0, or null for none, not {self.clip_norm}"
            )
        if self.momentum is not None and self.kind not in ("rmsprop", "muon"):
            raise ConfigError(
                f"optimizer.momentum belongs to rmsprop and muon; {self.kind} has betas"
            )
        if self.plateau_patience < 1 or not 0 < self.plateau_factor < 1:
            raise ConfigError(
                "optimizer.plateau_patience must be at least 1 and plateau_factor between 0 and 1, "
                f"not {self.plateau_patience} and {self.plateau_factor}"
            )


def kept_of_optimizer(config: OptimizerConfig) -> dict[str, Any]:
    """Return the fields that resumed runs take from their checkpoint, whatever they are told."""
    return {name: getattr(config, name) for name in _KEPT}


def learning_rate_factor(step: int, n_steps: int, config: OptimizerConfig) -> float:
    """Return the share of the full learning rate at `step` of `n_steps`, without any plateau."""
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    if config.schedule != "cosine":
        return warmup
    fall_from = config.decay_from * n_steps
    progress = min(1.0, max(0.0, step - fall_from) / max(1.0, n_steps - fall_from))
    cosine = (1 + math.cos(math.pi * progress)) / 2
    return warmup * (config.final_share + (1 - config.final_share) * cosine)


class Patience:
    """Counts how often in a row a value was not better than the best before."""

    def __init__(self, *, higher_is_better: bool) -> None:
        self.higher_is_better = higher_is_better
        self.best: float | None = None
        self.n_worse = 0

    def update(self, value: float) -> None:
        """Take the next value; NaN is never better."""
        sign = 1 if self.higher_is_better else -1
        if not math.isnan(value) and (self.best is None or sign * (value - self.best) > 0):
            self.best, self.n_worse = value, 0
        else:
            self.n_worse += 1

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs to go on."""
        return {"best": self.best, "n_worse": self.n_worse}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.best, self.n_worse = state["best"], state["n_worse"]


def make_optimizer(
    parameters: Iterable[nn.Parameter],
    config: OptimizerConfig,
    *,
    matrices: Iterable[nn.Parameter | None] = (),
    fused: bool = False,
) -> torch.optim.Optimizer:
    """Build the optimizer of those `parameters` that need gradients.

    `matrices` are the weights that Muon may take. `fused` updates all of them at once, on a GPU.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    rate, decay = config.learning_rate, config.weight_decay
    # Not `fused=False`: that would keep PyTorch from choosing for itself.
    options: dict[str, Any] = {"fused": True} if fused else {}
    if config.kind == "adam":
        return torch.optim.Adam(trained, lr=rate, betas=config.betas, weight_decay=decay, **options)
    if config.kind == "rmsprop":
        momentum = config.momentum or 0.0
        return torch.optim.RMSprop(trained, lr=rate, momentum=momentum, weight_decay=decay)
    if config.kind == "muon":
        return Muon(trained, matrices, config, fused=fused)
    return torch.optim.AdamW(trained, lr=rate, betas=config.betas, weight_decay=decay, **options)


class Muon(torch.optim.Optimizer):
    """Muon for matrices and kernels of convolutions, AdamW for all else, as one optimizer.

    PyTorch's Muon takes matrices alone; a kernel is one of an output for each row. Its steps are
    scaled so that their size is AdamW's: one learning rate and one weight decay serve both.

    Source: "Muon: an optimizer for hidden layers in neural networks" (2024); "Muon is scalable for
    LLM training" (2025) for the scale.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        matrices: Iterable[nn.Parameter | None],
        config: OptimizerConfig,
        *,
        fused: bool = False,
    ) -> None:
        """Give Muon those of `parameters` that are among `matrices`; the first axis are rows."""
        everything = list(parameters)
        hidden = {id(matrix) for matrix in matrices}
        self._kernels = [weight for weight in everything if id(weight) in hidden]
        others = [weight for weight in everything if id(weight) not in hidden]
        groups = [{"params": kernels} for kernels in (self._kernels, others) if kernels]
        super().__init__(groups, {"lr": config.learning_rate, "weight_decay": config.weight_decay})
        # Of the same memory, so that a step on these is a step on the kernels.
        self._views = [nn.Parameter(_as_matrix(part.detach(), part)) for part in self._kernels]
        self._parts: dict[str, torch.optim.Optimizer] = {}
        if self._kernels:
            momentum = _MUON_MOMENTUM if config.momentum is None else config.momentum
            self._parts["muon"] = torch.optim.Muon(
                self._views, momentum=momentum, adjust_lr_fn="match_rms_adamw"
            )
        if others:
            options: dict[str, Any] = {"fused": True} if fused else {}
            self._parts["adamw"] = torch.optim.AdamW(others, betas=config.betas, **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move all weights by their gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for view, kernel in zip(self._views, self._kernels, strict=True):
            view.grad = None if kernel.grad is None else _as_matrix(kernel.grad, kernel)
        for group, part in zip(self.param_groups, self._parts.values(), strict=True):
            for name in ("lr", "weight_decay"):
                part.param_groups[0][name] = group[name]
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both parts."""
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        return {**super().state_dict(), "parts": parts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        state = dict(state_dict)
        for name, part in state.pop("parts").items():
            self._parts[name].load_state_dict(part)
        super().load_state_dict(state)


def _as_matrix(tensor: Tensor, kernel: Tensor) -> Tensor:
    """Return `tensor` with a row for each of its first axis, columns in the order of the kernel's
    memory, so that of the kernel itself this is a view."""
    in_order = kernel if kernel.is_contiguous() else kernel.movedim(1, -1)
    assert in_order.is_contiguous(), "a kernel lies features first or features last"
    return (tensor if in_order is kernel else tensor.movedim(1, -1)).reshape(len(tensor), -1)

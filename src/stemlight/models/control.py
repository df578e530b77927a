"""Control vectors: from positions of sources to what conditions a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stemlight.shapes import Float, Int

__all__ = ["LinearControl", "OneHotControl"]


class OneHotControl(nn.Module):
    """One entry for each source; nothing is learned."""

    identity: Tensor

    def __init__(self, n_sources: int) -> None:
        super().__init__()
        self.register_buffer("identity", torch.eye(n_sources), persistent=False)

    def forward(self, sources: Int[Tensor, " batch"]) -> Float[Tensor, "batch sources"]:
        """Return a one for the asked source, zeros elsewhere."""
        return self.identity[sources]


class LinearControl(nn.Module):
    """An embedding written as a linear layer, so that it also takes mixes of sources."""

    def __init__(self, n_sources: int, control_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_sources, control_dim, bias=False)

    def forward(
        self, sources: Int[Tensor, " batch"] | Float[Tensor, "batch sources"]
    ) -> Float[Tensor, "batch control"]:
        """Embed positions of sources, or weights of every source."""
        if not sources.is_floating_point():
            return self.linear.weight.t()[sources]
        mixed: Tensor = self.linear(sources)
        return mixed

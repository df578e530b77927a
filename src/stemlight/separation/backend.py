"""What an engine is: the one seam between separation and whatever runs the networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from stemlight.shapes import Float32

__all__ = ["Backend"]


@runtime_checkable  # so that the type checks of the tests can ask
class Backend(Protocol):
    """Separates windows of stereo sound; nothing above it knows how (ONNX Runtime, PyTorch, a bag).

    The attributes are read-only and never change during a backend's life.
    """

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all sources that the model can give, in the order of its card."""

    @property
    def sample_rate_hz(self) -> int:
        """The model's sample rate."""

    @property
    def n_channels(self) -> int:
        """Channels of the mixture and of every source; 2."""

    def separate_chunks(
        self, mixture: Float32[np.ndarray, "batch channels samples"], sources: Sequence[str]
    ) -> Float32[np.ndarray, "batch sources channels samples"]:
        """Return the asked sources of each window, in the asked order.

        A row's result must not depend on the other rows of its batch. The result may share memory
        with `mixture`, which is C-contiguous and not used again by the caller.
        """

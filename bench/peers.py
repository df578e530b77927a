"""Peers, run by the code of their own packages; their weights are random.

Source: Open-Unmix (2019) and Hybrid Transformer Demucs (2022), as installed.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["HTDEMUCS", "N_THREADS", "OPEN_UNMIX", "Separate", "htdemucs", "open_unmix"]

N_THREADS = 2
OPEN_UNMIX = "open-unmix"
HTDEMUCS = "htdemucs"

Separate = Callable[[np.ndarray], object]
"""Takes a stereo song `(channels, samples)` and returns all of its stems, in whatever form."""

_STEMS = ["drums", "bass", "other", "vocals"]


def open_unmix(_: Path) -> Separate:
    """Return Open-Unmix with four networks of the size of umxhq and its own post-filter."""
    import torch

    if importlib.util.find_spec("torchaudio") is None:
        # It is imported for reading files, which nobody does here.
        sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    package: Any = __import__("openunmix")
    torch.set_num_threads(N_THREADS)
    separator = package.umxhq(pretrained=False).eval()

    def separate(mixture: np.ndarray) -> object:
        with torch.no_grad():
            return separator(torch.from_numpy(mixture)[None])

    return separate


def htdemucs(_: Path, *, n_shifts: int) -> Separate:
    """Return HTDemucs as its constructor makes it, normalised and cut as its own command does."""
    import torch
    from demucs.apply import apply_model
    from demucs.htdemucs import HTDemucs

    torch.set_num_threads(N_THREADS)
    model = HTDemucs(_STEMS).eval()

    def separate(mixture: np.ndarray) -> object:
        wave = torch.from_numpy(mixture)
        middle = wave.mean(0)
        mean, scale = middle.mean(), middle.std() + 1e-8
        with torch.no_grad():
            stems = apply_model(
                model, ((wave - mean) / scale)[None], shifts=n_shifts, split=True, overlap=0.25
            )
        return stems * scale + mean

    return separate

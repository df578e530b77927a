"""What tells a conditioned network which source it is to estimate."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from stemlight.errors import UsageError, did_you_mean
from stemlight.inspection.places import places_of
from stemlight.inspection.subject import Subject
from stemlight.models.spectrogram import SpectrogramModel
from stemlight.separation import Separator
from stemlight.separation.torch_engine import TorchEngine
from stemlight.shapes import Float, Float32

__all__ = [
    "control_vectors",
    "distances",
    "interpolate",
    "modulations",
    "principal_plane",
    "step_names",
]

Vectors = Float[np.ndarray, "sources control"]


def control_vectors(subject: Subject) -> Vectors:
    """Return the control vector of each source.

    Raises:
        UsageError: the network has none, because it is not conditioned.
    """
    network = subject.known_network()
    if network.embedding is None:
        raise UsageError(
            f"{subject.name!r} is not conditioned: it always gives {', '.join(subject.sources)}"
        )
    with torch.no_grad():
        return network.embedding(torch.arange(network.n_sources)).numpy()


def modulations(subject: Subject) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return gamma and beta of each modulated place, with the sources as their first axis.

    Gamma is `(sources, features or 1)` of a FiLM, `(sources, in, out)` of a PoCM or GPoCM; beta is
    `(sources, features or 1)`.

    Raises:
        UsageError: nothing is modulated.
    """
    network = subject.known_network()
    if network.conditioner is None:
        raise UsageError(
            f"{subject.name!r} has no modulation; film, pocm and gpocm are what can be drawn"
        )
    with torch.no_grad():
        told = network.conditions(torch.arange(network.n_sources))
    pairs = [*told.encoders, told.middle, *told.decoders]
    return {
        place.name: (pair.gamma.numpy(), pair.beta.numpy())
        for place, pair in zip(places_of(subject), pairs, strict=True)
        if pair is not None
    }


def distances(vectors: Vectors) -> Float[np.ndarray, "sources sources"]:
    """Return the Euclidean distance of each two control vectors."""
    return np.linalg.norm(vectors[:, None] - vectors[None, :], axis=-1)


def principal_plane(
    vectors: Vectors,
) -> tuple[Float[np.ndarray, "sources 2"], Float[np.ndarray, " 2"]]:
    """Return the vectors in the plane of their two largest variances, and the shares of these."""
    centred = vectors - vectors.mean(axis=0)
    left, scales, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(vectors), 2))
    shares = np.zeros(2)
    n_found = min(2, len(scales))
    places[:, :n_found] = (left * scales)[:, :n_found]
    total = np.square(scales).sum()
    if total > 0:
        shares[:n_found] = np.square(scales[:n_found]) / total
    return places, shares


def step_names(first: str, second: str, n_steps: int) -> list[str]:
    """Name the steps of an interpolation: `vocals`, `vocals 75 drums 25`, ... `drums`."""
    names = []
    for step in range(n_steps):
        percent = round(100 * step / (n_steps - 1))
        names.append(f"{first} {100 - percent} {second} {percent}")
    return [first, *names[1:-1], second]


def interpolate(
    subject: Subject,
    mixture: Float32[np.ndarray, "2 samples"],
    *,
    first: str,
    second: str,
    n_steps: int = 5,
) -> dict[str, Float32[np.ndarray, "2 samples"]]:
    """Separate with control vectors on the straight way from one source to another.

    The first and last of the `n_steps` are the two sources themselves. All steps share the encoder
    where it is not conditioned.

    Raises:
        UsageError: the network is not conditioned, has no such source, or there are too few steps.
    """
    vectors = control_vectors(subject)
    for name in (first, second):
        if name not in subject.sources:
            raise UsageError(
                f"{subject.name!r} has no source {name!r}{did_you_mean(name, subject.sources)}; "
                f"it has {', '.join(subject.sources)}"
            )
    if first == second:
        raise UsageError(f"there is no way from {first!r} to itself; name two sources")
    if n_steps < 2:
        raise UsageError(f"an interpolation has at least 2 steps, not {n_steps}")
    ends = [vectors[subject.sources.index(name)] for name in (first, second)]
    weights = np.linspace(0, 1, n_steps)[:, None]
    rows = torch.from_numpy(((1 - weights) * ends[0] + weights * ends[1]).astype(np.float32))
    names = step_names(first, second, n_steps)
    engine = TorchEngine(
        _with_control(subject.known_model(), rows),
        sources=names,
        sample_rate_hz=subject.sample_rate_hz,
    )
    return Separator(engine, subject.known_config().chunk)(mixture)


def _with_control(
    model: SpectrogramModel, rows: Float[torch.Tensor, "steps control"]
) -> SpectrogramModel:
    """Return a copy whose sources are the rows."""
    changed = copy.deepcopy(model)
    changed.network.embedding = nn.Embedding(len(rows), rows.shape[1], _weight=rows)
    changed.network.n_sources = len(rows)
    return changed.eval()

"""How much each target takes of each latent source, and what the targets share."""

from __future__ import annotations

import numpy as np
import torch

from stemlight.errors import UsageError
from stemlight.inspection.observing import Observation, attention_of, listens
from stemlight.inspection.places import places_of
from stemlight.inspection.subject import Subject
from stemlight.shapes import Float

__all__ = ["mean_attention", "shared_attention"]


def mean_attention(
    subject: Subject, observation: Observation | None = None
) -> dict[str, Float[np.ndarray, "sources latents"]]:
    """Return for each place with latent sources what share each target takes of them.

    Where the attention listens, that is the mean over an observed song.

    Raises:
        UsageError: the model has no latent sources, or it listens and there is no song.
    """
    config = subject.known_config()
    if not config.network.has_latents:
        raise UsageError(
            f"{subject.name!r} has no latent sources, its transformation is "
            f"{config.network.transformation!r}; lasaft and lightsaft have them"
        )
    if listens(subject):
        if observation is None or not observation.attention:
            raise UsageError(
                f"the attention of {subject.name!r} listens to the song; give one to observe"
            )
        return {name: weights.mean(axis=1) for name, weights in observation.attention.items()}
    network = subject.known_network()
    assert network.embedding is not None, "latent sources make a network conditioned"
    shares = {}
    with torch.no_grad():
        control = network.embedding(torch.arange(network.n_sources))
        unheard = torch.zeros(len(control), 1, 1, 1)
        for place in places_of(subject):
            attention = attention_of(place)
            if attention is not None:
                shares[place.name] = attention(unheard, control)[:, 0].numpy()
    return shares


def shared_attention(
    shares: Float[np.ndarray, "sources latents"],
) -> Float[np.ndarray, "sources sources"]:
    """Return what part of their attention two targets spend alike: 1 all, 0 none of it."""
    return np.minimum(shares[:, None], shares[None, :]).sum(axis=-1)

"""Fresh weights as the authors of the networks draw them, the same for the same seed."""

from __future__ import annotations

import torch
from torch import nn

from stemlight.models.config import ModelConfig
from stemlight.models.presets import Initialisation
from stemlight.models.spectrogram import SpectrogramModel, build_model

__all__ = ["fresh_model", "redraw"]


def fresh_model(
    config: ModelConfig, initialisation: Initialisation, *, seed: int = 0
) -> SpectrogramModel:
    """Build a model, in evaluation mode, whose weights depend on `seed` alone.

    The random numbers of the process are left as they were.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # of the processor alone, as is the model
        model = build_model(config)
        redraw(model.network, initialisation)
    return model.eval()


def redraw(network: nn.Module, initialisation: Initialisation) -> None:
    """Draw every parameter with more than one axis again; biases and norms stay as they are.

    Embeddings and keys of latent sources are drawn like weights, and so are both factors of a
    weight norm.

    Source: the authors' code: `xavier_normal_` in that of the first generation (the activation
    that it asks for is the last layer's, none), `kaiming_normal_` in that of LASAFT-Net-v2, and
    nothing of its own in that of KUIELab-MDX-Net.
    """
    if initialisation == "pytorch":
        return
    draw = nn.init.xavier_normal_ if initialisation == "xavier-normal" else nn.init.kaiming_normal_
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            # The authors of LASAFT-Net-v2 hold keys with two axes more, by which Kaiming's
            # variance, over the product of all axes but the first, is smaller.
            is_wide = initialisation == "kaiming-normal" and name.endswith(".keys")
            draw(parameter[None, None] if is_wide else parameter)

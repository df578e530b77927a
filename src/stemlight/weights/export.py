"""Writes a network as one ONNX graph: encoder once, decoder for each asked source."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from stemlight.models.unet import UNet

__all__ = ["export_onnx", "prepare_for_inference"]

_OPSET = 17
_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def prepare_for_inference(network: UNet) -> UNet:
    """Return a copy in evaluation mode, with batch norm and weight norm folded into weights."""
    network = copy.deepcopy(network).eval().float()
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            _drop_weight_norms(module)
            _fuse_batch_norms(module)
    return network


def _drop_weight_norms(layers: nn.Sequential) -> None:
    """Put a plain linear layer in place of each weight-normed one.

    `remove_parametrizations` would change a class that the copy shares with the original.
    """
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Linear) and is_parametrized(layer, "weight"):
            plain = nn.Linear(layer.in_features, layer.out_features)
            plain.weight = nn.Parameter(layer.weight.detach())
            plain.bias = layer.bias
            layers[index] = plain


def _fuse_batch_norms(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        convolution, norm = layers[index], layers[index + 1]
        if isinstance(convolution, _CONVOLUTIONS) and isinstance(norm, nn.BatchNorm2d):
            transposed = isinstance(convolution, nn.ConvTranspose2d)
            layers[index] = fuse_conv_bn_eval(convolution, norm, transpose=transposed)
            layers[index + 1] = nn.Identity()


def export_onnx(network: UNet, path: Path, *, n_bins: int) -> None:
    """Write the graph; batch, frames and the number of asked sources stay free."""
    n_frames = 2 ** (len(network.downs) + 1)
    n_planes = 4
    example = (torch.randn(2, n_planes, n_frames, n_bins), torch.tensor([0, 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about itself
        torch.onnx.export(
            prepare_for_inference(network),
            example,
            path,
            input_names=["planes", "sources"],
            output_names=["estimates"],
            dynamic_axes={
                "planes": {0: "batch", 2: "frames"},
                "sources": {0: "n_sources"},
                "estimates": {0: "batch", 1: "n_sources", 3: "frames"},
            },
            opset_version=_OPSET,
            dynamo=False,
        )

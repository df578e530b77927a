"""Folds what only training needs into the weights: batch norms and weight norms."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from stemlight.models.unet import UNet

__all__ = ["prepare_for_inference"]

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d)


def prepare_for_inference(network: UNet) -> UNet:
    """Return a copy in evaluation mode that computes the same with less work.

    Batch norm and weight norm are folded into weights, and skips are split (`UNet.split_skips`).
    """
    network = copy.deepcopy(network).eval().float()
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            _drop_weight_norms(module)
            _fuse_batch_norms(module)
    network.split_skips()
    for module in network.modules():
        if isinstance(module, _NORMS) and module.weight is None:
            _write_out_affine(module)
    return network


def _drop_weight_norms(layers: nn.Sequential) -> None:
    """Put a plain linear layer in place of each weight-normed one.

    `remove_parametrizations` would change a class that the copy shares with the original.
    """
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Linear) and is_parametrized(layer, "weight"):
            plain = nn.Linear(layer.in_features, layer.out_features, device="meta")
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


def _write_out_affine(norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.InstanceNorm2d) -> None:
    """Give a norm without weights those that change nothing.

    The exporter would make them itself, of a number of features that it does not always know.
    """
    norm.weight = nn.Parameter(torch.ones(norm.num_features))
    norm.bias = nn.Parameter(torch.zeros(norm.num_features))
    norm.affine = True

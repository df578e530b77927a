"""The cases: files that the authors' code made, each saying which class and options it ran.

They are looked for in the folder that STEMLIGHT_FIXTURES names, else beside the repository.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from stemlight.models.config import SOURCES
from stemlight.models.spectrogram import build_model
from stemlight.weights.official import convert_state_dict, official_model

_BESIDE = Path(__file__).resolve().parents[3] / "shared/fixtures/official"
FOLDER = Path(os.environ.get("STEMLIGHT_FIXTURES", _BESIDE))
TOLERANCE = 1e-4  # absolute, at a root mean square of one
NETWORKS = ("lasaft", "lightsaft_mdx", "ismir_v1", "lasaft_v2", "mdx_train")
FAMILIES = (*NETWORKS, "mdx", "mixer")


@dataclass(frozen=True)
class Case:
    """One file of tensors and what its metadata says."""

    path: Path

    @cached_property
    def meta(self):
        with safe_open(self.path, "pt") as file:
            return file.metadata() or {}

    @cached_property
    def tensors(self):
        with safe_open(self.path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118

    @property
    def family(self):
        return self.meta.get("family")

    @property
    def channel_axis_first(self):
        """Whether bins lie before frames and channels before samples, as in MDX-Net's files."""
        return self.family.startswith("mdx")

    def said(self, key):
        return json.loads(self.meta[key])

    def state_dict(self, prefix=""):
        start = f"sd.{prefix}"
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}

    def model_config(self, **trim):
        if "trim_length" in self.meta:
            trim = {"trim_samples": int(self.meta["trim_length"])} | trim
        return official_model(self.meta["cls"], self.said("config"), **trim)

    def model(self):
        # A network does not depend on the trim, which may be longer than the window of a small one.
        model = build_model(self.model_config(trim_samples=0))
        model.network.load_state_dict(convert_state_dict(self.state_dict()), strict=True)
        return model.eval()

    def position(self, target):
        """Return at which position the network has a target; dedicated networks have one."""
        sources = self.model_config().sources
        if target is None or len(sources) == 1:
            return 0
        # The authors number four sources, also where a network has fewer or more.
        return (sources if target in sources else SOURCES).index(target)

    def mixture(self):
        """Return the waveform as (channels, samples)."""
        wave = self.tensors["in.wave"].float() / 32768
        return wave if self.channel_axis_first else wave.T.contiguous()


def discovered(*families):
    """Return parameters for pytest: the cases of `families`, or one that is skipped."""
    if not FOLDER.is_dir():
        reason = f"{FOLDER} is not there: the authors' outputs lie beside their checkouts only"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    paths = sorted(FOLDER.glob("*.safetensors"))
    cases = [Case(path) for path in paths if not path.name.endswith(".onnx.io.safetensors")]
    wanted = [case for case in cases if not families or case.family in families]
    if not wanted:
        reason = f"{FOLDER} holds no case of {', '.join(families) or 'any family'}"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(case, id=case.path.stem) for case in wanted]


def graphs():
    """Return parameters for pytest: ONNX files with recorded inputs and outputs beside them."""
    paths = sorted(FOLDER.glob("*.onnx")) if FOLDER.is_dir() else []
    if not paths:
        skip = pytest.mark.skip(reason=f"{FOLDER} holds no graph")
        return [pytest.param(None, marks=skip)]
    return [pytest.param(path, id=path.stem) for path in paths]


def largest_difference(one, other):
    return (torch.as_tensor(one) - torch.as_tensor(other)).abs().max().item()


def mdx_source(case, source):
    """Return the network of one source of an MDX-Net case, and its configuration."""
    said, shape = case.said("config"), case.said("per_target")[source]
    arguments = {
        "target_name": source,
        "dim_c": 4,
        "dim_f": shape["dim_f"],
        "dim_t": shape["frames"],
        "n_fft": shape["n_fft"],
        "hop_length": said["hop"],
        "num_blocks": said["L"],
        "k": said.get("k", 3),
        **{name: said[name] for name in ("l", "g", "bn", "bias")},
    }
    config = official_model("ConvTDFNet", arguments)
    model = build_model(config)
    model.network.load_state_dict(convert_state_dict(case.state_dict(f"{source}.")))
    return model.eval(), config

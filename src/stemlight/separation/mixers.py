"""Mixers: small networks over all estimates and the mixture, run in NumPy.

Dedicated networks do not know of each other. A mixer does: it takes out of the vocals what is in
the drums, and gives back what nobody took. The paper's is one linear layer on each sample by
itself (KUIELab: 8 x 10 weights); deeper ones add a branch of convolutions over time beside it.

Source: KUIELab-MDX-Net, section "Mixer".
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from stemlight.errors import UsageError, WeightsError, did_you_mean
from stemlight.separation.combiners import Combination, Estimate, Offers
from stemlight.shapes import Float32

__all__ = ["KUIELAB_ORDER", "Mixer", "MixerWeights", "load_mixer", "save_mixer"]

KUIELAB_ORDER = ("bass", "drums", "other", "vocals")
"""Order of the authors' mixer, of its rows and of its columns but the mixture's, which are last."""

_CONFIG_FILE = "mixer.json"
_WEIGHTS_FILE = "mixer.safetensors"
_FORMAT = 1

Layer = tuple[Float32[np.ndarray, "_ _ _"], Float32[np.ndarray, " _"] | None]
"""Weight `(outputs, inputs, taps)` and bias of one convolution over time."""


@dataclass(frozen=True, kw_only=True, eq=False)  # arrays have no truth value to compare by
class MixerWeights:
    """A mixer's weights, and the names that say which row and column belongs to what.

    Rows are left and right of each source, columns left and right of each estimate and, last, of
    the mixture. An estimate is named by its source, or as member/source where several members give
    that source.

    Raises:
        WeightsError: the arrays do not fit the names or each other.
    """

    estimates: tuple[str, ...]
    sources: tuple[str, ...]
    linear: Float32[np.ndarray, "outputs inputs"]
    convolutions: tuple[Layer, ...] = ()
    """A branch beside the linear layer: its result is added. ReLU between, nothing after."""

    def __post_init__(self) -> None:
        for kind, names in (("estimates", self.estimates), ("sources", self.sources)):
            if not names or len(set(names)) < len(names):
                raise WeightsError(f"a mixer needs {kind} of different names, not {list(names)}")
        n_rows, n_columns = 2 * len(self.sources), 2 * len(self.estimates) + 2
        if self.linear.shape != (n_rows, n_columns):
            raise WeightsError(
                f"the mixer's linear layer has the shape {self.linear.shape} but "
                f"({n_rows}, {n_columns}) fits its {len(self.sources)} sources, "
                f"{len(self.estimates)} estimates and the mixture"
            )
        n_channels = n_columns
        for number, (weight, bias) in enumerate(self.convolutions):
            is_last = number == len(self.convolutions) - 1
            fits = weight.ndim == 3 and weight.shape[1] == n_channels and weight.shape[2] % 2 == 1
            if not fits or (is_last and weight.shape[0] != n_rows):
                raise WeightsError(
                    f"convolution {number} of the mixer has the shape {weight.shape} but "
                    f"({n_rows if is_last else 'any'}, {n_channels}, odd) is needed"
                )
            n_channels = weight.shape[0]
            if bias is not None and bias.shape != (n_channels,):
                raise WeightsError(
                    f"convolution {number} of the mixer has {n_channels} outputs but a bias of "
                    f"the shape {bias.shape}"
                )
        for array in self.tensors().values():
            if array.dtype != np.float32:
                raise WeightsError(f"the mixer's weights are {array.dtype} but float32 is needed")

    @property
    def halo_samples(self) -> int:
        """How far to each side a sample of the result sees."""
        return sum(weight.shape[2] // 2 for weight, _ in self.convolutions)

    def mix(
        self,
        estimates: Float32[np.ndarray, "estimates 2 _"],
        mixture: Float32[np.ndarray, "2 _"],
        rows: Sequence[int] | None = None,
    ) -> Float32[np.ndarray, "sources 2 samples"]:
        """Mix signals that are longer than the result by `halo_samples` at both ends.

        `rows` are positions among `sources`: the stems to compute, all unless given.
        """
        columns = np.concatenate([estimates.reshape(-1, estimates.shape[-1]), mixture])
        n_samples = columns.shape[1] - 2 * self.halo_samples
        wanted = np.arange(len(self.sources)) if rows is None else np.asarray(rows)
        outputs = (2 * wanted[:, np.newaxis] + [0, 1]).reshape(-1)
        centre = columns[:, self.halo_samples : self.halo_samples + n_samples]
        mixed = self.linear[outputs] @ centre
        if self.convolutions:
            *inner, (weight, bias) = self.convolutions
            for layer in inner:
                columns = np.maximum(_convolve(columns, *layer), 0)
            bias = None if bias is None else bias[outputs]
            mixed += _convolve(columns, weight[outputs], bias)
        return mixed.reshape(len(wanted), 2, n_samples)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all arrays by the names that they have in files and in the PyTorch module."""
        named = {"linear.weight": self.linear}
        for number, (weight, bias) in enumerate(self.convolutions):
            named[f"convolutions.{number}.weight"] = weight
            if bias is not None:
                named[f"convolutions.{number}.bias"] = bias
        return named

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, np.ndarray], *, estimates: Sequence[str], sources: Sequence[str]
    ) -> MixerWeights:
        """Make weights of named arrays; the authors' `linear.weight` alone is a whole mixer.

        Raises:
            WeightsError: an array is missing, left over, or does not fit.
        """
        left = dict(tensors)
        linear = left.pop("linear.weight", None)
        if linear is None:
            raise WeightsError(
                f"a mixer needs linear.weight; there is {', '.join(sorted(tensors)) or 'nothing'}"
            )
        convolutions: list[Layer] = []
        while (weight := left.pop(f"convolutions.{len(convolutions)}.weight", None)) is not None:
            convolutions.append((weight, left.pop(f"convolutions.{len(convolutions)}.bias", None)))
        if left:
            raise WeightsError(f"a mixer has no {', '.join(sorted(left))}")
        return cls(
            estimates=tuple(estimates),
            sources=tuple(sources),
            linear=linear,
            convolutions=tuple(convolutions),
        )

    @classmethod
    def pass_through(cls, estimates: Sequence[str], sources: Sequence[str]) -> MixerWeights:
        """Return the mixer that changes nothing: each source is its estimate, or their average.

        Raises:
            WeightsError: a source has no estimate.
        """
        linear = np.zeros((2 * len(sources), 2 * len(estimates) + 2), np.float32)
        for row, source in enumerate(sources):
            columns = [
                column
                for column, name in enumerate(estimates)
                if name == source or name.endswith(f"/{source}")
            ]
            if not columns:
                raise WeightsError(
                    f"no estimate is of {source!r}; the estimates are {', '.join(estimates)}"
                )
            for column in columns:
                for side in (0, 1):
                    linear[2 * row + side, 2 * column + side] = 1 / len(columns)
        return cls(estimates=tuple(estimates), sources=tuple(sources), linear=linear)


def _convolve(
    signals: Float32[np.ndarray, "inputs _"],
    weight: Float32[np.ndarray, "outputs inputs taps"],
    bias: Float32[np.ndarray, " outputs"] | None,
) -> Float32[np.ndarray, "outputs samples"]:
    """Cross-correlate over time without padding, as networks do: `taps - 1` samples shorter."""
    n_taps = weight.shape[2]
    n_samples = signals.shape[1] - n_taps + 1
    result = weight[:, :, 0] @ signals[:, :n_samples]
    for tap in range(1, n_taps):
        result += weight[:, :, tap] @ signals[:, tap : tap + n_samples]
    if bias is not None:
        result += bias[:, np.newaxis]
    return result


class Mixer:
    """A combiner that runs a mixer; every stem needs every estimate, so all members run."""

    def __init__(self, weights: MixerWeights) -> None:
        self._weights = weights

    def sources(self, offers: Offers) -> tuple[str, ...]:
        """See `Combiner`.

        Raises:
            UsageError: an estimate of the mixer is given by no member, or by several.
        """
        self._needs(offers)
        return self._weights.sources

    def prepare(self, offers: Offers, asked: Sequence[str]) -> Combination:
        """See `Combiner`."""
        weights = self._weights
        rows = [weights.sources.index(source) for source in asked]
        return Combination(
            needs=self._needs(offers),
            combine=lambda estimates, mixture: weights.mix(estimates, mixture, rows),
            halo_samples=weights.halo_samples,
        )

    def _needs(self, offers: Offers) -> tuple[Estimate, ...]:
        everything = [Estimate(member, source) for member in offers for source in offers[member]]
        needs = []
        for name in self._weights.estimates:
            found = [estimate for estimate in everything if name == estimate.name]
            found = found or [estimate for estimate in everything if name == estimate.source]
            if len(found) > 1:
                raise UsageError(
                    f"the mixer's estimate {name!r} is given by several members: "
                    f"{', '.join(estimate.member for estimate in found)}; name it member/source"
                )
            if not found:
                known = [estimate.name for estimate in everything]
                raise UsageError(
                    f"no member gives the mixer's estimate {name!r}{did_you_mean(name, known)}; "
                    f"they give {', '.join(known)}"
                )
            needs.append(found[0])
        return tuple(needs)


def save_mixer(weights: MixerWeights, folder: Path) -> None:
    """Write `mixer.safetensors` and `mixer.json` into `folder`, which is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: np.ascontiguousarray(array) for name, array in weights.tensors().items()}
    config = {"format": _FORMAT, "estimates": weights.estimates, "sources": weights.sources}
    _replace(folder / _WEIGHTS_FILE, save(tensors))
    _replace(folder / _CONFIG_FILE, (json.dumps(config, indent=2) + "\n").encode())


def load_mixer(folder: Path) -> MixerWeights:
    """Read what `save_mixer` wrote.

    Raises:
        WeightsError: a file is missing or damaged, or the weights do not fit the names.
    """
    path = folder / _CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        tensors = load_file(folder / _WEIGHTS_FILE)
    except OSError as error:
        raise WeightsError(f"cannot read a mixer from {folder}: {error}") from error
    except (ValueError, SafetensorError) as error:
        raise WeightsError(f"the mixer in {folder} is damaged: {error}") from error
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        raise WeightsError(f"{path} is no mixer of format {_FORMAT}; update stemlight")
    names: dict[str, list[str]] = {}
    for key in ("estimates", "sources"):
        value = config.get(key)
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise WeightsError(f"{path} needs a list of names as {key!r}, not {value!r}")
        names[key] = value
    return MixerWeights.from_tensors(
        tensors, estimates=names["estimates"], sources=names["sources"]
    )


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)

"""Separators of other projects as backends, to blend with ours or to compare with.

Their packages are optional and imported when a model is asked for by name. A model object needs
nothing but its own package.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stemlight.chunking import ChunkPlan
from stemlight.errors import MissingExtraError, UsageError, WeightsError
from stemlight.shapes import Float32

if TYPE_CHECKING:
    import torch

__all__ = [
    "DemucsBackend",
    "OpenUnmixBackend",
    "is_foreign",
    "load_demucs",
    "load_foreign",
    "load_open_unmix",
]

_OPEN_UNMIX_NAMES = ("umx", "umxhq", "umxl")
_OPEN_UNMIX_SECONDS = 10  # a window; its recurrent layers want more context than a convolution


def load_demucs(model: Any, *, device: str = "cpu") -> tuple[DemucsBackend, ChunkPlan]:
    """Return a backend and its windows for Demucs, by name (`htdemucs`) or as a model object.

    A name is loaded by the package `demucs`, which downloads what it does not have. Windows are as
    long as the model's segments and overlap by a quarter, as Demucs' own.

    Differs: Demucs normalises a song by the mean and the deviation of all of it, which no stream
    can know; here each window is normalised by its own. Its networks of versions 3 and 4 do so
    inside, again and for each segment, so little is left of the difference. Demucs fades from one
    segment to the next linearly, we by squared sines, and we make no random shifts.

    Raises:
        MissingExtraError: the package `demucs` is not installed.
        WeightsError: Demucs cannot load a model of this name.
        UsageError: the model is not stereo.
    """
    if isinstance(model, str):
        pretrained = _import("demucs.pretrained", extra="demucs")
        model = _loaded(model, "demucs", lambda: pretrained.get_model(model))
    backend = DemucsBackend(model, device=device)
    chunk_samples = backend.segment_samples
    return backend, ChunkPlan(chunk_samples=chunk_samples, overlap_samples=chunk_samples // 4)


def load_open_unmix(model: Any, *, device: str = "cpu") -> tuple[OpenUnmixBackend, ChunkPlan]:
    """Return a backend and its windows for Open-Unmix: `umx`, `umxhq`, `umxl`, or a `Separator`.

    A name is loaded by the package `openunmix`, which downloads what it does not have.

    Differs: Open-Unmix sees a song whole; here its recurrent layers see windows of 10 seconds, of
    which one at each end is context alone.

    Raises:
        MissingExtraError: the package `openunmix` is not installed.
        WeightsError: Open-Unmix cannot load the model.
        UsageError: there is no such model.
    """
    if isinstance(model, str):
        name = model
        if name not in _OPEN_UNMIX_NAMES:
            raise UsageError(
                f"no Open-Unmix model {name!r}; there are {', '.join(_OPEN_UNMIX_NAMES)}"
            )
        package = _import("openunmix", extra="openunmix")
        model = _loaded(name, "openunmix", lambda: getattr(package, name)())
    backend = OpenUnmixBackend(model, device=device)
    second = backend.sample_rate_hz
    return backend, ChunkPlan(
        chunk_samples=_OPEN_UNMIX_SECONDS * second, trim_samples=second, overlap_samples=second
    )


class DemucsBackend:
    """Runs a model of Demucs, or a bag of them: anything with its attributes and its call.

    The model is put into evaluation mode on `device`. Of a bag, models without weight for the asked
    sources are not run: of the fine-tuned ones, each source is one model's.

    Raises:
        UsageError: the model is not stereo.
    """

    def __init__(self, model: Any, *, device: str = "cpu") -> None:
        if model.audio_channels != 2:
            raise UsageError(
                f"the Demucs model has {model.audio_channels} channels but 2 are needed"
            )
        self.sources: tuple[str, ...] = tuple(model.sources)
        self.sample_rate_hz = int(model.samplerate)
        self.n_channels = 2
        self._device = device
        bag = hasattr(model, "weights") and hasattr(model, "models")
        self._models = [member.to(device).eval() for member in (model.models if bag else [model])]
        weights = np.array(model.weights if bag else np.ones((1, len(self.sources))), np.float64)
        self._shares = (weights / weights.sum(axis=0)).astype(np.float32)

    @property
    def segment_samples(self) -> int:
        """Length that the model was trained on and that it takes at once."""
        return min(int(member.segment * self.sample_rate_hz) for member in self._models)

    def separate_chunks(
        self, mixture: Float32[np.ndarray, "batch channels samples"], sources: Sequence[str]
    ) -> Float32[np.ndarray, "batch sources channels samples"]:
        """Separate windows; see `stemlight.separation.Backend`."""
        wanted = [self.sources.index(name) for name in sources]
        # As Demucs normalises songs: by the average of the channels, one number for both.
        middle = mixture.mean(axis=1, keepdims=True)
        mean = middle.mean(axis=-1, keepdims=True)
        scale = middle.std(axis=-1, keepdims=True, ddof=1) + np.float32(1e-8)
        normalised = (mixture - mean) / scale
        stems = np.zeros((len(mixture), len(wanted), *mixture.shape[1:]), np.float32)
        for model, shares in zip(self._models, self._shares[:, wanted], strict=True):
            if shares.any():
                estimates = _run(model, normalised, self._device)[:, wanted]
                stems += shares[:, np.newaxis, np.newaxis] * estimates
        return stems * scale[:, np.newaxis] + mean[:, np.newaxis]


class OpenUnmixBackend:
    """Runs a `Separator` of Open-Unmix.

    The model is put into evaluation mode on `device`.
    """

    def __init__(self, model: Any, *, device: str = "cpu") -> None:
        self.sources: tuple[str, ...] = tuple(model.target_models)
        if model.residual:
            self.sources += ("residual",)
        self.sample_rate_hz = int(model.sample_rate)
        self.n_channels = 2
        self._device = device
        self._model = model.to(device).eval()

    def separate_chunks(
        self, mixture: Float32[np.ndarray, "batch channels samples"], sources: Sequence[str]
    ) -> Float32[np.ndarray, "batch sources channels samples"]:
        """Separate windows; see `stemlight.separation.Backend`."""
        wanted = [self.sources.index(name) for name in sources]
        return _run(self._model, mixture, self._device)[:, wanted]


_ForeignBackend = DemucsBackend | OpenUnmixBackend

_LOADERS: Mapping[str, Callable[..., tuple[_ForeignBackend, ChunkPlan]]] = {
    "demucs": load_demucs,
    "openunmix": load_open_unmix,
}


def is_foreign(model: str) -> bool:
    """Tell whether this is the address of a model of another project, such as `demucs:htdemucs`."""
    project, colon, name = model.partition(":")
    return project in _LOADERS and bool(colon) and bool(name)


def load_foreign(address: str, *, device: str = "cpu") -> tuple[_ForeignBackend, ChunkPlan]:
    """Return a backend and its windows for `demucs:NAME` or `openunmix:NAME`.

    Raises:
        MissingExtraError: the project's package is not installed.
        WeightsError, UsageError: as `load_demucs` and `load_open_unmix`.
    """
    project, _, name = address.partition(":")
    return _LOADERS[project](name, device=device)


def _run(
    model: Callable[[torch.Tensor], torch.Tensor],
    mixture: Float32[np.ndarray, "batch channels samples"],
    device: str,
) -> Float32[np.ndarray, "batch sources channels samples"]:
    import torch  # here: whoever has a model has it, and the module is read without

    with torch.inference_mode():
        estimates = model(torch.from_numpy(mixture).to(device))
    samples: np.ndarray = estimates.cpu().numpy()
    return samples


def _import(module: str, *, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{extra} needs {error.name}, which is not installed; "
            f"run: pip install 'stemlight[{extra}]'"
        ) from error


def _loaded(name: str, package: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:  # a download, a file and a name may fail in ways of their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{package} cannot load {name!r}: {reason}") from error

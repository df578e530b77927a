from __future__ import annotations

import importlib.util
import sys
import types

import numpy as np
import pytest
import torch

from stemlight.errors import MissingExtraError, UsageError, WeightsError
from stemlight.separation import Backend, Separator, blend
from stemlight.separation.foreign import (
    DemucsBackend,
    OpenUnmixBackend,
    load_demucs,
    load_open_unmix,
)

from .fakes import SOURCES, WindowBackend, noise

DEMUCS_SOURCES = ["drums", "bass", "other", "vocals"]
RATE_HZ = 8000


class StandIn(torch.nn.Module):
    """Has the interface of a Demucs model and counts its calls."""

    sources = ("vocals", "rest")
    samplerate = RATE_HZ
    audio_channels = 2
    segment = 0.1

    def __init__(self, gains: tuple[float, float] = (0.25, 0.75)) -> None:
        super().__init__()
        self.gains = gains
        self.n_calls = 0

    def forward(self, mixture):
        self.n_calls += 1
        return torch.stack([gain * mixture for gain in self.gains], dim=1)


class StandInBag:
    """Has the interface of a bag of Demucs models."""

    sources = StandIn.sources
    samplerate = RATE_HZ
    audio_channels = 2

    def __init__(self, models, weights) -> None:
        self.models, self.weights = models, weights


def small_htdemucs(seed: int = 0):
    htdemucs = pytest.importorskip("demucs.htdemucs", reason="the package demucs is not installed")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return htdemucs.HTDemucs(
            DEMUCS_SOURCES,
            channels=8,
            nfft=512,
            depth=2,
            t_layers=1,
            t_heads=2,
            segment=0.5,
            samplerate=RATE_HZ,
        ).eval()


def demucs_separation(model, mixture: np.ndarray) -> np.ndarray:
    """Separate as the package's own command does, one window without shifts."""
    apply = pytest.importorskip("demucs.apply", reason="the package demucs is not installed")
    wave = torch.from_numpy(mixture)
    middle = wave.mean(0)
    mean, scale = middle.mean(), middle.std() + 1e-8
    stems = apply.apply_model(model, ((wave - mean) / scale)[None], shifts=0, split=False)[0]
    return (stems * scale + mean).numpy()


# Demucs


def test_a_window_through_the_backend_is_what_demucs_makes_of_it():
    model = small_htdemucs()
    backend, plan = load_demucs(model)
    assert isinstance(backend, Backend)
    assert backend.sources == tuple(DEMUCS_SOURCES)
    assert backend.sample_rate_hz == RATE_HZ
    assert (plan.chunk_samples, plan.overlap_samples) == (4000, 1000)
    windows = 0.3 * noise(4, 4000).reshape(2, 2, 4000) + np.float32(0.01)
    stems = backend.separate_chunks(windows, ["vocals", "drums"])
    assert stems.dtype == np.float32
    for window, found in zip(windows, stems, strict=True):
        expected = demucs_separation(model, window)
        np.testing.assert_allclose(found, expected[[3, 0]], atol=1e-5)


def test_a_bag_of_demucs_models_is_averaged_with_its_weights():
    apply = pytest.importorskip("demucs.apply", reason="the package demucs is not installed")
    bag = apply.BagOfModels(
        [small_htdemucs(1), small_htdemucs(2)], weights=[[1.0, 0.0, 2.0, 0.5], [1.0, 1.0, 1.0, 1.5]]
    )
    window = 0.3 * noise(2, 4000)
    stems = DemucsBackend(bag).separate_chunks(window[np.newaxis], DEMUCS_SOURCES)[0]
    np.testing.assert_allclose(stems, demucs_separation(bag, window), atol=1e-5)


def test_a_demucs_model_by_name_comes_from_its_package():
    pytest.importorskip("demucs.pretrained", reason="the package demucs is not installed")
    backend, plan = load_demucs("demucs_unittest")  # a tiny one, which needs no download
    assert backend.sources == tuple(DEMUCS_SOURCES)
    assert (backend.sample_rate_hz, plan.chunk_samples) == (44100, 40 * 44100)


def test_demucs_blends_with_ours():
    ours = Separator(WindowBackend(RATE_HZ), load_demucs(StandIn())[1])
    theirs = Separator(*load_demucs(StandIn()))
    mixture = noise(2, 5000)
    stems = blend([ours, theirs], {"vocals": 0.9})(mixture)
    assert set(stems) == {*SOURCES, "rest"}
    expected = 0.9 * ours(mixture)["vocals"] + 0.1 * theirs(mixture)["vocals"]
    np.testing.assert_allclose(stems["vocals"], expected, atol=1e-5)


def test_windows_are_normalised_before_and_restored_after_the_model():
    backend = DemucsBackend(StandIn())
    seen = []
    backend._models[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    windows = np.stack([0.01 * noise(2, 800), 5 * noise(2, 800) + 1]).astype(np.float32)
    stems = backend.separate_chunks(windows, ["rest"])
    middle = seen[0].mean(dim=1)
    np.testing.assert_allclose(middle.mean(dim=-1), 0, atol=1e-5)
    np.testing.assert_allclose(middle.std(dim=-1), 1, atol=1e-4)
    mean = windows.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(stems[:, 0], 0.75 * (windows - mean) + mean, atol=1e-5)


def test_rows_of_a_batch_do_not_change_each_other():
    backend = DemucsBackend(small_htdemucs())
    windows = noise(6, 4000).reshape(3, 2, 4000)
    together = backend.separate_chunks(windows, ["bass"])
    for row in range(3):
        alone = backend.separate_chunks(windows[row : row + 1], ["bass"])
        np.testing.assert_allclose(together[row], alone[0], atol=1e-6)


def test_silence_stays_silent():
    stems = DemucsBackend(StandIn()).separate_chunks(np.zeros((1, 2, 800), np.float32), ["rest"])
    np.testing.assert_array_equal(stems, 0)


def test_of_a_bag_only_models_with_weight_for_the_asked_sources_run():
    models = [StandIn((1.0, 0.0)), StandIn((0.0, 1.0)), StandIn((0.5, 0.5))]
    backend = DemucsBackend(StandInBag(models, [[3.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    window = noise(2, 800)[np.newaxis]
    np.testing.assert_allclose(backend.separate_chunks(window, ["rest"])[:, 0], window, atol=1e-5)
    assert [model.n_calls for model in models] == [0, 1, 0]
    mean = window.mean()
    vocals = backend.separate_chunks(window, ["vocals"])[:, 0]
    np.testing.assert_allclose(vocals, 0.875 * (window - mean) + mean, atol=1e-5)


def test_a_demucs_model_that_is_not_stereo_is_refused():
    model = StandIn()
    model.audio_channels = 1
    with pytest.raises(UsageError, match="Demucs model has 1 channels but 2 are needed"):
        load_demucs(model)


@pytest.mark.parametrize(
    ("load", "name", "package"),
    [(load_demucs, "htdemucs", "demucs"), (load_open_unmix, "umxhq", "openunmix")],
)
def test_without_its_package_a_name_is_refused_with_the_extra(monkeypatch, load, name, package):
    for module in (package, f"{package}.pretrained"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'stemlight\[{package}\]'"):
        load(name)


def test_what_the_package_cannot_load_is_refused_with_its_reason(monkeypatch):
    package = types.ModuleType("demucs.pretrained")

    def get_model(name):
        raise RuntimeError(f"{name} is neither a model nor a bag\nat all")

    package.get_model = get_model
    monkeypatch.setitem(sys.modules, "demucs", types.ModuleType("demucs"))
    monkeypatch.setitem(sys.modules, "demucs.pretrained", package)
    with pytest.raises(
        WeightsError, match=r"demucs cannot load 'nonsense': nonsense is neither a model nor a bag$"
    ):
        load_demucs("nonsense")


# Open-Unmix


@pytest.fixture
def open_unmix_model(monkeypatch):
    """Make a tiny model of Open-Unmix, which names torchaudio but needs it for files alone."""
    if importlib.util.find_spec("openunmix") is None:
        pytest.skip("the package openunmix is not installed")
    if importlib.util.find_spec("torchaudio") is None:
        monkeypatch.setitem(sys.modules, "torchaudio", types.ModuleType("torchaudio"))
    from openunmix.model import OpenUnmix, Separator

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        targets = {
            name: OpenUnmix(nb_bins=257, nb_channels=2, hidden_size=16)
            for name in ("vocals", "drums")
        }
        yield Separator(
            targets, n_fft=512, n_hop=128, niter=1, residual=True, sample_rate=float(RATE_HZ)
        ).eval()
    for name in [name for name in sys.modules if name.split(".")[0] == "openunmix"]:
        monkeypatch.delitem(sys.modules, name)


def test_a_window_through_the_backend_is_what_open_unmix_makes_of_it(open_unmix_model):
    backend, plan = load_open_unmix(open_unmix_model)
    assert isinstance(backend, Backend)
    assert backend.sources == ("vocals", "drums", "residual")
    assert (plan.chunk_samples, plan.trim_samples) == (10 * RATE_HZ, RATE_HZ)
    windows = noise(4, 5000).reshape(2, 2, 5000)
    stems = backend.separate_chunks(windows, ["residual", "vocals"])
    with torch.no_grad():
        expected = open_unmix_model(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(stems, expected[:, [2, 0]], atol=1e-6)


def test_open_unmix_separates_songs(open_unmix_model):
    separator = Separator(*load_open_unmix(open_unmix_model))
    assert isinstance(separator, Separator)
    assert separator(noise(1, 20_000), sources=["drums"])["drums"].shape == (1, 20_000)


def test_an_unknown_open_unmix_model_is_refused_with_those_that_are():
    with pytest.raises(UsageError, match="no Open-Unmix model 'umxx'; there are umx, umxhq, umxl"):
        load_open_unmix("umxx")


def test_an_open_unmix_model_without_residual_has_its_targets():
    model = torch.nn.Identity()
    model.target_models, model.residual, model.sample_rate = (
        ["speech"],
        False,
        torch.tensor(16000.0),
    )
    backend = OpenUnmixBackend(model)
    assert (backend.sources, backend.sample_rate_hz) == (("speech",), 16000)

"""Where the material beside the repository lies, and what all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"

# A whole model that is small enough to be made, exported and run within a second.
TINY_ARGUMENTS = {
    "stft": {"n_fft": 512, "hop_samples": 128, "kept_bins": 256},
    "network": {
        "n_blocks": 5,
        "features": [4, 6, 8],
        "bins_per_fold": 8,
        "n_latents": 3,
        "min_bn_units": 4,
    },
    "chunk": {"chunk_samples": 128 * 63, "trim_samples": 512, "overlap_samples": 512},
}


def shared_path(relative: str) -> Path:
    """Return a path below ../shared, or skip the test with the reason."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"{relative} is not there: ../shared lies beside the authors' checkouts only")
    return path


@pytest.fixture(scope="session", autouse=True)
def _untyped_export():
    """Switch the check of shapes off while a graph is traced: integers are tensors there."""
    import jaxtyping
    import torch

    export = torch.onnx.export

    def untyped(*arguments, **options):
        jaxtyping.config.update("jaxtyping_disable", True)
        try:
            return export(*arguments, **options)
        finally:
            jaxtyping.config.update("jaxtyping_disable", False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", untyped)
        yield


@pytest.fixture(scope="session", autouse=True)
def _cache_of_tests(tmp_path_factory):
    """Keep the tests out of the user's cache of models, and its models out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEMLIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared():
    """Give tests `shared("fixtures/...")`, which skips where ../shared is absent."""
    return shared_path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Make the folder of a tiny model with random weights: card, weights and graph."""
    import torch

    from stemlight.models.presets import resolve_preset
    from stemlight.models.spectrogram import build_model
    from stemlight.weights.cards import ModelCard, TrainingData
    from stemlight.weights.checkpoints import save_model

    torch.manual_seed(0)
    model = build_model(resolve_preset("stemlight-small", TINY_ARGUMENTS))
    folder = tmp_path_factory.mktemp("models") / "tiny"
    card = ModelCard(
        name="tiny",
        summary="Random weights, for tests.",
        preset="stemlight-small",
        arguments=TINY_ARGUMENTS,
        licence="MIT",
        band_limit_hz=dict.fromkeys(("vocals", "drums", "bass", "other"), 22_050.0),
        training_data=(TrainingData(name="nothing", terms="none"),),
    )
    save_model(model, card, folder)
    return folder

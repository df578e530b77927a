"""A model's folder: strict, verified, and the same on both engines."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import stemlight
from stemlight.errors import UsageError, WeightsError
from stemlight.models.presets import PRESETS
from stemlight.models.spectrogram import build_model
from stemlight.weights.cards import read_card
from stemlight.weights.catalogue import embedded_models, find_model
from stemlight.weights.checkpoints import load_model, read_training_checkpoint, save_model
from stemlight.weights.export import export_onnx


@pytest.fixture
def broken(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "broken")


def noise(*shape):
    return 0.1 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
@pytest.mark.parametrize("sources", [["vocals", "drums", "bass", "other"], ["other", "vocals"]])
def test_all_engines_give_the_same_samples_to_1e_4(tiny_model, sources, engine):
    mixture = noise(2, 30_000)
    onnx = stemlight.load(tiny_model)(mixture, sources=sources)
    stems = stemlight.load(tiny_model, engine=engine, device="cpu")(mixture, sources=sources)
    assert list(onnx) == list(stems) == sources
    for name in sources:
        np.testing.assert_allclose(onnx[name], stems[name], atol=1e-4)
        assert np.abs(onnx[name]).max() > 0


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_bfloat16_rounds_and_does_no_more(engine):
    """Eight bits of each factor are about 40 dB; of many layers, on noise, about 30 are left."""
    if engine == "openvino":
        openvino = pytest.importorskip("openvino")
        if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("this processor does not compute in bfloat16")
    mixture = noise(2, 6 * 44_100)
    exact = stemlight.load(engine=engine, device="cpu")(mixture)
    rounded = stemlight.load(engine=engine, device="cpu", precision="bfloat16")(mixture)
    for name, stem in exact.items():
        error = np.square(rounded[name] - stem).sum() / np.square(stem).sum()
        assert 1e-9 < error < 2e-3


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"engine": "onxx"}, r"no engine 'onxx' \(did you mean 'onnx'\?\); choose from onnx, "),
        (
            {"precision": "float16"},
            r"no precision 'float16' .*; choose from float32, .*, int8",
        ),
        (
            {"precision": "bfloat16"},
            r"the onnx engine computes in float32 or int8, not in bfloat16; for that the engine "
            r"must be openvino or torch",
        ),
        (
            {"precision": "int8", "engine": "torch"},
            r"the torch engine computes in float32 or bfloat16, not in int8; for that the engine "
            r"must be onnx",
        ),
        ({"device": "mps"}, r"the onnx engine has no device 'mps'; choose from auto, cpu, cuda"),
        ({"engine": "openvino", "device": "cuda"}, r"the openvino engine has no device 'cuda'"),
        ({"n_threads": 10**12}, r"n_threads must be at most 1024, or 0 for all cores, not 1000"),
        ({"n_threads": -1}, r"n_threads must be at most 1024, or 0 for all cores, not -1"),
    ],
)
def test_what_does_not_go_together_is_refused(choices, message):
    with pytest.raises(UsageError, match=message):
        stemlight.load(**choices)


def test_exporting_leaves_the_network_as_it_was(tmp_path):
    model = build_model(PRESETS["stemlight-small"]).train()
    network = model.network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    export_onnx(model, tmp_path / "graph.onnx", ["vocals", "drums", "bass", "other"])
    assert network.training
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], atol=0, rtol=0)
    network(torch.randn(1, 4, 16, 2048), torch.tensor([0, 1]))


def test_a_stored_model_comes_back_bit_for_bit(tiny_model, tmp_path):
    model, card = load_model(tiny_model)
    again = save_model(model, card, tmp_path / "again")
    assert again.files["model.safetensors"] == card.files["model.safetensors"]
    assert again == read_card(tmp_path / "again")
    assert again.n_parameters == sum(p.numel() for p in model.network.parameters())


@pytest.mark.parametrize(
    ("engine", "file"), [("onnx", "model.onnx"), ("torch", "model.safetensors")]
)
def test_a_damaged_file_is_refused_by_its_hash(broken, engine, file):
    path = broken / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{file} is damaged: its sha256 is .* get the model"):
        stemlight.load(broken, engine=engine, device="cpu")


def test_a_missing_file_is_named(broken):
    (broken / "model.onnx").unlink()
    with pytest.raises(WeightsError, match=r"model\.onnx is missing"):
        stemlight.load(broken)


def test_a_card_of_another_format_is_refused(broken):
    card = json.loads((broken / "card.json").read_text())
    (broken / "card.json").write_text(json.dumps(card | {"format": 99}))
    with pytest.raises(WeightsError, match="has the format 99, this version of stemlight reads 2"):
        stemlight.load(broken)


def test_a_card_that_is_no_json_is_refused(broken):
    (broken / "card.json").write_text("{")
    with pytest.raises(WeightsError, match=r"card\.json is no model card"):
        stemlight.load(broken)


def test_weights_of_another_network_are_refused(broken):
    card = json.loads((broken / "card.json").read_text())
    card["arguments"]["network"]["n_latents"] = 5
    (broken / "card.json").write_text(json.dumps(card))
    with pytest.raises(
        WeightsError, match=r"weights of 'tiny' do not fit the network: .*size mism"
    ):
        load_model(broken)


def test_an_unknown_model_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match=r"no model 'nothing'.* or a folder with a card\.json"):
        find_model("nothing")
    with pytest.raises(UsageError, match="no model"):
        find_model(tmp_path)


def test_embedded_models_are_intact_and_run():
    assert "stemlight" in embedded_models()
    for name in embedded_models():
        stems = stemlight.load(name, n_threads=1)(noise(2, 1000))
        assert all(stem.shape == (2, 1000) for stem in stems.values())


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, tiny_model):
    path = tmp_path / "x.ckpt"
    path.write_text("no")
    model, _ = load_model(tiny_model)
    with pytest.raises(WeightsError, match=r"x\.ckpt is no training checkpoint"):
        read_training_checkpoint(path, model)

"""Files of others become models that compute what the authors' code does, or nothing at all."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from safetensors.torch import save_file

import stemlight
from stemlight.configs import from_mapping, merge, to_mapping
from stemlight.errors import ConfigError, OutputError, UsageError, WeightsError
from stemlight.models.config import ModelConfig
from stemlight.models.presets import PRESETS, resolve_preset
from stemlight.separation import Separator
from stemlight.separation.mixers import KUIELAB_ORDER
from stemlight.separation.torch_engine import TorchEngine
from stemlight.weights import import_cards
from stemlight.weights.cards import read_card
from stemlight.weights.checkpoints import load_model
from stemlight.weights.checksums import sha256
from stemlight.weights.import_cards import source_in_name
from stemlight.weights.importing import (
    ImportOptions,
    closest_preset,
    import_model,
    imported,
    is_importable,
)
from stemlight.weights.remote_models import REMOTE_MODELS

from ..parity.cases import NETWORKS, TOLERANCE, discovered, largest_difference
from .foreign_files import AttributeDict, Container, Node, lightning, package
from .official_names import official_state_dict, tiny_config, tiny_model
from .test_mdx_graph import Net

STORED = {"hop_length": 256, "num_frame": 64, "lr": 1e-3}
STORED_MDX = {"hop_length": 64, "dim_t": 64, "n_fft": 384, "lr": 1e-4}
# One of every repository: LaSAFT v1, LightSAFT, LASAFT-Net-v2, ISMIR2020, mdx-net.
REPOSITORIES = ("lasaft-small", "lightsaft", "lasaft-v2", "tfc-tdf-large", "tfc-tdf-v2-vocals")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STEMLIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def checkpoint(path, preset, *, stored=None, seed=0, wrap=dict, **network):
    """Write a checkpoint as the authors' code does; return it and the model it was made of."""
    model = tiny_model(preset, seed, **network)
    state = official_state_dict(tiny_config(preset, **network), model=model)
    usual = STORED_MDX if preset.startswith("tfc-tdf-v2") else STORED
    torch.save(lightning(state, wrap(stored or usual)), path)
    return path, model


def noise(n_samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.3, 0.3, (2, n_samples)).astype(np.float32)


def assert_separates_as(folder, model, *, config=None):
    """Compare both engines with the model that the file was made of, on two windows."""
    config = config or read_card(folder).model_config()
    mixture = noise(config.chunk.chunk_samples)
    engine = TorchEngine(model, sources=config.sources, sample_rate_hz=config.sample_rate_hz)
    expected = Separator(engine, config.chunk)(mixture)
    for name in ("onnx", "torch"):
        found = stemlight.load(folder, engine=name, n_threads=1)(mixture)
        assert list(found) == list(expected)
        for source, stem in expected.items():
            tolerance = TOLERANCE * max(1, np.abs(stem).max())
            np.testing.assert_allclose(found[source], stem, atol=tolerance)


# ---------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("preset", REPOSITORIES)
def test_a_checkpoint_of_each_repository_separates_with_both_engines(tmp_path, preset):
    path, model = checkpoint(tmp_path / "vocals.ckpt", preset)
    card = import_model([path], tmp_path / "made")
    assert card == read_card(tmp_path / "made")
    assert card.model_config() == tiny_config(preset)
    assert card.n_parameters == sum(p.numel() for p in model.network.parameters())
    assert tree(tmp_path / "made") == ["card.json", "model.onnx", "model.safetensors"]
    assert_separates_as(tmp_path / "made", model)


@pytest.mark.parametrize("case", discovered(*NETWORKS))
def test_official_weights_and_settings_give_the_official_planes(tmp_path, case):
    path = tmp_path / "x.ckpt"
    torch.save(lightning(case.state_dict(), case.said("config")), path)
    card = import_model([path], tmp_path / "made", ImportOptions(name=case.path.stem))
    assert (card.name, card.licence) == (case.path.stem, "not stated")
    planes = case.tensors["in.spec"].float()
    planes = planes.transpose(-1, -2) if case.channel_axis_first else planes
    sources = case.tensors.get("in.cond", torch.zeros(len(planes), dtype=torch.int64))
    expected = case.tensors["out.spec"].float()
    expected = expected.transpose(-1, -2) if case.channel_axis_first else expected
    model, _ = load_model(tmp_path / "made")
    with torch.no_grad():
        assert largest_difference(model.network.forward_pairs(planes, sources), expected) < (
            TOLERANCE
        )
    graph = onnxruntime.InferenceSession(tmp_path / "made/model.onnx")
    for index, source in enumerate(sources):
        estimates = graph.run(None, {"planes": planes[index : index + 1].numpy()})
        assert largest_difference(estimates[int(source)][0], expected[index]) < TOLERANCE


@pytest.mark.parametrize(
    "form", ["plain state dict", "legacy", "half", "bfloat16", "safetensors", "attributes", "args"]
)
def test_the_form_of_a_file_does_not_matter(tmp_path, form):
    model = tiny_model("gpocm")
    state = official_state_dict(tiny_config("gpocm"), model=model)
    content, path = lightning(state, STORED), tmp_path / "x.pt"
    options = ImportOptions()
    if form in ("plain state dict", "safetensors"):
        content = state
        chunk = {"chunk_samples": 256 * 63, "trim_samples": 5120}
        options = ImportOptions(arguments={"stft": {"hop_samples": 256}, "chunk": chunk})
    if form in ("half", "bfloat16"):
        dtype = getattr(torch, "float16" if form == "half" else form)
        content["state_dict"] = {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in state.items()
        }
        model.network.load_state_dict(
            {
                name: tensor.to(dtype).float() if tensor.is_floating_point() else tensor
                for name, tensor in model.network.state_dict().items()
            }
        )
    if form == "args":
        content["hyper_parameters"] = argparse.Namespace(**STORED)
    if form == "safetensors":
        path = path.with_suffix(".safetensors")
        save_file(state, path)
    elif form == "attributes":
        with package("pytorch_lightning.utilities.parsing", AttributeDict=AttributeDict):
            torch.save(lightning(state, AttributeDict(STORED)), path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form != "legacy")
    import_model([path], tmp_path / "made", options)
    assert_separates_as(tmp_path / "made", model, config=tiny_config("gpocm"))


def test_settings_of_the_second_generation_may_be_omegaconf_objects(tmp_path):
    activation = {"activation": "leaky_relu"}
    stored = STORED | {
        "spec2spec": {
            "first_conv_activation": "leaky_relu",
            "mk_block_f": activation,
            "mk_ds_f": activation,
            "mk_us_f": activation,
        }
    }
    options = {"activation": "leaky_relu", "resampling_activation": "leaky_relu"}
    with (
        package("omegaconf.dictconfig", DictConfig=Container),
        package("omegaconf.nodes", AnyNode=Node),
    ):
        path, model = checkpoint(
            tmp_path / "x.ckpt", "lasaft-v2", stored=stored, wrap=Container, **options
        )
    card = import_model([path], tmp_path / "made")
    assert card.model_config() == tiny_config("lasaft-v2", **options)
    assert_separates_as(tmp_path / "made", model)


def test_the_published_vocal_separator_is_recognised(tmp_path, shared):
    path = shared("weights/cac_tdc_17_vocals_top3.pt")
    card = import_model([path], tmp_path / "made")
    known = REMOTE_MODELS["tdc-vocals-2020"]
    assert (card.preset, card.arguments, card.sources) == ("tdc-17", {}, ("vocals",))
    assert (card.licence, card.training_data) == (known.licence, known.training_data)


def test_a_file_that_is_known_by_its_hash_gets_its_card_whatever_it_is_called(
    tmp_path, monkeypatch
):
    path, _ = checkpoint(tmp_path / "anything.ckpt", "lasaft-v2")
    known = REMOTE_MODELS["lasaft-v2-light"]
    digest = sha256("").found_in(path)
    file = dataclasses.replace(known.files[0], checksum=sha256(digest))
    toy = dataclasses.replace(known, files=(file,), preset="several-*")
    monkeypatch.setattr(import_cards, "REMOTE_MODELS", {"toy": toy})
    card = import_model([path], tmp_path / "made", ImportOptions(name="mine"))
    assert (card.name, card.licence) == ("mine", "MIT")
    assert (card.summary, card.training_data) == (known.summary, known.training_data)
    card = import_model([path], tmp_path / "again", ImportOptions(licence="mine alone"))
    assert card.licence == "mine alone"


def test_options_say_what_the_file_does_not(tmp_path):
    path, _ = checkpoint(tmp_path / "x.ckpt", "tfc-tdf-large")
    options = ImportOptions(
        source="flute",
        name="my-flute",
        output_gain=2.0,
        summary="Mine.",
        arguments={"network": {"activation": "leaky_relu"}},
    )
    card = import_model([path], tmp_path / "made", options)
    assert (card.name, card.sources, card.summary) == ("my-flute", ("flute",), "Mine.")
    config = card.model_config()
    assert (config.output_gain, config.network.activation) == (2.0, "leaky_relu")


def test_a_preset_may_be_named_instead(tmp_path):
    path, model = checkpoint(tmp_path / "x.ckpt", "lightsaft", stored={"epoch": 3})
    chunk = {"chunk_samples": 256 * 63, "trim_samples": 5120}
    options = ImportOptions(
        preset="lightsaft",
        arguments={
            "stft": {"n_fft": 512, "hop_samples": 256},
            "chunk": chunk,
            "network": {
                "n_blocks": 5,
                "features": [4],
                "n_tfc_layers": 2,
                "n_latents": 3,
                "key_dim": 6,
                "embedding_dim": 8,
            },
        },
    )
    assert import_model([path], tmp_path / "made", options).model_config() == tiny_config(
        "lightsaft"
    )
    assert_separates_as(tmp_path / "made", model)


def test_the_own_names_of_weights_can_be_imported_with_their_preset(tmp_path):
    model = tiny_model("gpocm")
    save_file(model.network.state_dict(), tmp_path / "x.safetensors")
    preset, arguments = closest_preset(tiny_config("gpocm"))
    options = ImportOptions(preset=preset, arguments=arguments)
    import_model([tmp_path / "x.safetensors"], tmp_path / "made", options)
    assert_separates_as(tmp_path / "made", model)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (ImportOptions(preset="lightsfat"), ConfigError, r"no preset 'lightsfat' \(did you mean"),
        (ImportOptions(arguments={"network": {"activatoin": 1}}), ConfigError, "did you mean"),
        (ImportOptions(preset="gpocm"), WeightsError, r"x\.ckpt do not fit the network"),
        (ImportOptions(n_fft=1024), UsageError, r"--n-fft 1024: x\.ckpt has 512 already"),
        (ImportOptions(source="vocals"), UsageError, r"x\.ckpt estimates vocals, drums, bass"),
        (ImportOptions(arguments={"stft": {"n_fft": 2**20}}), WeightsError, "no network has"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_options_that_do_not_fit_are_named(tmp_path, options, error, message):
    path, _ = checkpoint(tmp_path / "x.ckpt", "lightsaft")
    with pytest.raises(error, match=message):
        import_model([path], tmp_path / "made", options)
    assert tree(tmp_path) == ["x.ckpt"]


def test_weights_that_are_not_finite_are_refused(tmp_path):
    path, _ = checkpoint(tmp_path / "x.ckpt", "gpocm")
    content = torch.load(path, weights_only=True)
    content["state_dict"]["spec2spec.first_conv.0.bias"][1] = torch.nan
    torch.save(content, path)
    with pytest.raises(WeightsError, match=r"first_conv\.0\.bias has numbers that are not finite"):
        import_model([path], tmp_path / "made")


def test_weights_of_no_known_network_are_refused_with_what_they_are_called(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "x.pt")
    message = r"x\.pt is not recognised: no published network has weights called bias, weight"
    with pytest.raises(WeightsError, match=message):
        import_model([tmp_path / "x.pt"], tmp_path / "made")


# ---------------------------------------------------------------- graphs


def graph(path, *, dim_t=32, batch=None, seed=0, **options):
    """Write an MDX-Net graph of random weights; the network takes bins before frames."""
    torch.manual_seed(seed)
    net = Net(**options).eval()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
    example = torch.randn(1, 4, options.get("bins", 32), dim_t)
    torch.onnx.export(
        net,
        example,
        path,
        input_names=["input"],
        output_names=["output"],
        dynamic_axes=None if batch == 1 else {"input": {0: "b"}, "output": {0: "b"}},
        opset_version=13,
        dynamo=False,
    )
    return path


export_warnings = pytest.mark.filterwarnings("ignore")  # the exporter warns about itself


def assert_engines_agree(folder):
    """Both engines separate alike; the onnx engine runs the very file that was imported."""
    mixture = noise(3000)
    found = {
        name: stemlight.load(folder, engine=name, n_threads=1)(mixture)
        for name in ("onnx", "torch")
    }
    for source, stem in found["onnx"].items():
        size = np.abs(stem).max()
        assert size > 1e-3
        np.testing.assert_allclose(found["torch"][source], stem, atol=TOLERANCE * max(1, size))


@export_warnings
@pytest.mark.parametrize(
    ("n_fft", "hop", "options"),
    [
        (96, 16, {"bins": 48, "dim_t": 32}),  # as 3072 of 6144
        (80, 16, {"bins": 40, "dim_t": 16, "batch": 1}),  # as 2560 of 5120
        (128, 32, {"bins": 64, "dim_t": 64, "levels": 3, "factor": 8, "layers": 3}),
        (64, 16, {"bins": 32, "dim_t": 32, "merge": "concatenate", "bias": True}),
        (64, 16, {"bins": 32, "dim_t": 32, "activation": torch.nn.LeakyReLU, "factor": None}),
    ],
)
def test_graphs_of_the_wider_family_run_as_they_are_and_as_torch_modules(
    tmp_path, n_fft, hop, options
):
    path = graph(tmp_path / "Kim_Vocal_2.onnx", **options)
    card = import_model(
        [path],
        tmp_path / "made",
        ImportOptions(n_fft=n_fft, hop_samples=hop, output_gain=1.035),
    )
    assert (tmp_path / "made/model.onnx").read_bytes() == path.read_bytes()
    config = card.model_config()
    assert (card.graph_layout, card.sources) == ("mdx", ("vocals",))
    assert (config.stft.kept_bins, config.n_frames) == (options["bins"], options["dim_t"])
    assert (config.output_gain, config.chunk.trim_samples) == (1.035, n_fft // 2)
    assert card.n_parameters > 0
    assert_engines_agree(tmp_path / "made")


@export_warnings
def test_the_gain_acts_on_both_engines(tmp_path):
    path = graph(tmp_path / "bass.onnx")
    stems = {}
    for gain in (1.0, 2.0):
        options = ImportOptions(n_fft=64, hop_samples=16, output_gain=gain)
        import_model([path], tmp_path / str(gain), options)
        for engine in ("onnx", "torch"):
            separator = stemlight.load(tmp_path / str(gain), engine=engine, n_threads=1)
            stems[engine, gain] = separator(noise(1000))["bass"]
    for engine in ("onnx", "torch"):
        np.testing.assert_allclose(stems[engine, 2.0], 2 * stems[engine, 1.0], rtol=1e-5)


def test_the_official_graph_gives_the_official_samples_with_both_engines(tmp_path, shared):
    path = shared("fixtures/official/mdx_v2_vocals.onnx")
    tensors = load_file(shared("fixtures/official/mdx_v2.safetensors"))
    import_model([path], tmp_path / "made", ImportOptions(n_fft=384, hop_samples=64))
    mixture = tensors["in.wave"].astype(np.float32) / 32768
    expected = tensors["out.sources_before_mixer"][KUIELAB_ORDER.index("vocals")]
    for engine in ("onnx", "torch"):
        stem = stemlight.load(tmp_path / "made", engine=engine, n_threads=1)(mixture)["vocals"]
        np.testing.assert_allclose(stem, expected, atol=TOLERANCE)


@export_warnings
def test_a_graph_whose_weights_cannot_be_read_runs_as_it_is_and_says_why_not_otherwise(tmp_path):
    path = graph(tmp_path / "vocals.onnx")
    content = onnx.load(path)
    (name,) = [value.name for value in content.graph.output]
    last = next(node for node in content.graph.node if name in node.output)
    last.output[0] = "before"
    content.graph.node.append(onnx.helper.make_node("Neg", ["before"], [name]))
    onnx.save(content, path)
    card = import_model([path], tmp_path / "made", ImportOptions(n_fft=64, hop_samples=16))
    assert list(card.files) == ["model.onnx"]
    assert card.n_parameters == 0
    assert "For the onnx engine alone: " in card.summary
    assert "(Neg) stands where the end of the graph was expected" in card.summary
    assert np.abs(stemlight.load(tmp_path / "made", n_threads=1)(noise(500))["vocals"]).max() > 0
    with pytest.raises(WeightsError, match=r"in a graph alone, .* \(Neg\) stands where"):
        stemlight.load(tmp_path / "made", engine="torch")


@export_warnings
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vocals", {}, r"vocals\.onnx does not tell its n_fft, .* at least 62, .* --n-fft 64"),
        ("mine", {"n_fft": 64}, r"mine\.onnx does not tell which source .* --source vocals"),
        ("vocals", {"n_fft": 60}, r"n_fft 60 does not fit .*kept_bins must lie in 1\.\.31"),
        ("vocals", {"n_fft": 65}, "n_fft must be an even number"),
        ("vocals", {"n_fft": 64, "hop_samples": 65}, "hop_samples must lie in"),
        ("vocals", {"n_fft": 512}, "n_fft 512 does not fit"),
        ("vocals", {"n_fft": 64, "preset": "gpocm"}, "--preset and --set belong to checkpoints"),
    ],
)
def test_what_a_graph_does_not_tell_is_asked_for(tmp_path, name, options, message):
    path = graph(tmp_path / f"{name}.onnx")
    with pytest.raises(UsageError, match=message):
        import_model([path], tmp_path / "made", ImportOptions(**{"hop_samples": 16, **options}))
    assert tree(tmp_path) == [f"{name}.onnx"]


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x07"])
def test_a_file_that_is_no_graph_is_an_error(tmp_path, content):
    path = tmp_path / "vocals.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"vocals\.onnx"):
        import_model([path], tmp_path / "made", ImportOptions(n_fft=64))
    assert tree(tmp_path) == ["vocals.onnx"]


@export_warnings
def test_a_graph_with_weights_in_another_file_is_refused(tmp_path):
    path = graph(tmp_path / "vocals.onnx")
    content = onnx.load(path)
    path.unlink()
    onnx.save(content, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(WeightsError, match=r"vocals\.onnx runs only where it lies, .* other files"):
        import_model([path], tmp_path / "made", ImportOptions(n_fft=64, hop_samples=16))
    assert tree(tmp_path) == ["vocals.onnx", "weights.bin"]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("UVR-MDX-NET-Inst_HQ_3", "instrumental"),
        ("UVR-MDX-NET-Inst_Main", "instrumental"),
        ("Kim_Inst", "instrumental"),
        ("Kim_Vocal_2", "vocals"),
        ("KimVocal2", "vocals"),
        ("UVR-MDX-NET-Voc_FT", "vocals"),
        ("kuielab_a_bass", "bass"),
        ("kuielab_b_drums", "drums"),
        ("other", "other"),
        ("cac_tdc_17_vocals_top3", "vocals"),
        ("BASS", "bass"),
        # Of these, some networks give the voice, others what is left, or the name says nothing.
        ("UVR_MDXNET_KARA", None),
        ("UVR_MDXNET_KARA_2", None),
        ("vocals_karaoke", None),
        ("UVR_MDXNET_3_9662", None),
        ("Reverb_HQ_By_FoxJoy", None),
        ("vocals_and_drums", None),
        ("another", None),
        ("bassoon", None),
        ("instead", None),
        ("model", None),
        ("", None),
    ],
)
def test_a_name_tells_the_source_by_whole_words(name, source):
    assert source_in_name(name) == source


# ---------------------------------------------------------------- systems


def mixer_file(path, weight=None):
    weight = torch.randn(8, 10) if weight is None else weight
    torch.save({"linear.weight": weight}, path)
    return path


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """Checkpoints of four networks, one for each source."""
    folder = tmp_path_factory.mktemp("four")
    return {
        source: checkpoint(
            folder / f"{source}.ckpt",
            "tfc-tdf-v2-vocals",
            seed=seed,
            stored=STORED_MDX | {"target_name": source},
        )[0]
        for seed, source in enumerate(KUIELAB_ORDER)
    }


@pytest.mark.parametrize("order", [1, -1])
def test_four_networks_and_a_mixer_become_a_system(tmp_path, four, order):
    torch.manual_seed(1)
    weight = torch.randn(8, 10)
    mixer = mixer_file(tmp_path / "mixer.ckpt", weight)
    files = [*four.values(), mixer][::order]
    card = import_model(files, tmp_path / "made", ImportOptions(name="mdx", licence="MIT"))
    assert (card.name, card.mixes, card.licence) == ("mdx", True, "MIT")
    assert sorted(card.members) == sorted(KUIELAB_ORDER)
    assert read_card(tmp_path / "made/bass").name == "mdx-bass"
    mixture = noise(6000)
    separator = stemlight.load(tmp_path / "made", n_threads=1)
    mixed = separator(mixture)
    before = [
        stemlight.load(tmp_path / "made" / source, n_threads=1)(mixture)[source]
        for source in KUIELAB_ORDER
    ]
    expected = weight.numpy() @ np.concatenate([*before, mixture])
    for row, source in enumerate(KUIELAB_ORDER):
        np.testing.assert_allclose(mixed[source], expected[2 * row : 2 * row + 2], atol=1e-4)


@pytest.mark.parametrize("form", ["checkpoints", "folders of graphs"])
def test_the_official_system_gives_the_official_stems_before_and_after_the_mixer(
    tmp_path, shared, form
):
    shared("fixtures/official/mdx_v2.safetensors")
    (parameter,) = discovered("mdx")
    (case,) = parameter.values
    said = case.said("config")
    files = []
    for source, shape in case.said("per_target").items():
        path = tmp_path / f"{source}.ckpt"
        stored = {
            "target_name": source,
            "n_fft": shape["n_fft"],
            "dim_t": shape["frames"],
            "hop_length": said["hop"],
        }
        torch.save(lightning(case.state_dict(f"{source}."), stored), path)
        files.append(path)
    if form == "folders of graphs":
        for index, path in enumerate(files):
            import_model([path], path.with_suffix(""))
            files[index] = path.with_suffix("")
        stored = case.said("per_target")["vocals"]["n_fft"]
        shutil.rmtree(tmp_path / "vocals")
        graph_file = shared("fixtures/official/mdx_v2_vocals.onnx")
        import_model(
            [graph_file], tmp_path / "vocals", ImportOptions(n_fft=stored, hop_samples=said["hop"])
        )
    mixer = mixer_file(tmp_path / "mixer.ckpt", case.state_dict("mixer.")["linear.weight"].float())
    mixture = case.mixture().numpy()
    for name, company in {"before": [], "after": [mixer]}.items():
        import_model([*files, *company], tmp_path / name)
        stems = stemlight.load(tmp_path / name, n_threads=1)(mixture)
        found = np.stack([stems[source] for source in KUIELAB_ORDER])
        expected = case.tensors[f"out.sources_{name}_mixer"]
        assert largest_difference(found, expected) < TOLERANCE


def test_the_published_mixer_is_read(tmp_path, shared, four):
    path = shared("weights/mixer.ckpt")
    card = import_model([*four.values(), path], tmp_path / "made")
    assert card.mixes
    weights = load_file(tmp_path / "made/mixer.safetensors")["linear.weight"]
    expected = torch.load(path, map_location="cpu", weights_only=True)["linear.weight"]
    np.testing.assert_array_equal(weights, expected.numpy())


def test_networks_without_a_mixer_are_a_bag(tmp_path, four):
    card = import_model([four["vocals"], four["bass"]], tmp_path / "made")
    assert (card.sources, card.mixes) == (("vocals", "bass"), False)
    assert set(stemlight.load(tmp_path / "made", n_threads=1)(noise(500))) == {"vocals", "bass"}


def test_files_that_do_not_go_together_are_refused(tmp_path, four):
    one, two = mixer_file(tmp_path / "one.ckpt"), mixer_file(tmp_path / "two.ckpt")
    again = tmp_path / "again.ckpt"
    shutil.copy(four["bass"], again)
    (tmp_path / "empty").mkdir()
    for files, message in (
        ([one], r"one\.ckpt is a mixer, which needs the networks .* bass, drums, other, vocals"),
        ([one, two], r"is a mixer, which needs the networks"),
        ([*four.values(), one, two], r"one\.ckpt and .*two\.ckpt are mixers; a system has one"),
        ([four["bass"], again], r"both .*bass\.ckpt and .*again\.ckpt estimate bass"),
        ([four["bass"], one], r"one\.ckpt mixes bass, drums, .* the networks give bass; name"),
        ([four["bass"], four["bass"]], "a file is named twice"),
        ([four["bass"], tmp_path / "empty"], r"empty is a folder without a card\.json"),
        ([tmp_path / "empty"], "is a folder; name a file"),
        ([tmp_path / "missing.ckpt"], r"there is no file .*missing\.ckpt"),
        ([tmp_path / "empty", tmp_path / "missing.ckpt"], r"there is no file .*missing\.ckpt"),
        ([], "no file to import"),
    ):
        with pytest.raises(UsageError, match=message):
            import_model(files, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_mixer_of_another_size_is_refused(tmp_path, four):
    mixer = mixer_file(tmp_path / "mixer.ckpt", torch.randn(4, 6))
    with pytest.raises(WeightsError, match=r"has the shape \(4, 6\) but \(8, 10\) fits"):
        import_model([*four.values(), mixer], tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (ImportOptions(source="bass"), "--source"),
        (ImportOptions(preset="gpocm", arguments={"a": 1}), "--preset, --set"),
        (ImportOptions(n_fft=64, hop_samples=1, output_gain=2.0), "--n-fft, --hop, --gain"),
    ],
)
def test_options_of_one_file_are_refused_for_several(tmp_path, four, options, named):
    with pytest.raises(UsageError, match=f"^{named} can hold for one file alone, .* are 4; "):
        import_model(list(four.values()), tmp_path / "made", options)


# ---------------------------------------------------------------- folders


def test_what_fails_leaves_nothing_behind_and_nothing_is_overwritten(tmp_path):
    (tmp_path / "bad.ckpt").write_bytes(b"hello")
    with pytest.raises(WeightsError):
        import_model([tmp_path / "bad.ckpt"], tmp_path / "a/b/c")
    assert tree(tmp_path) == ["bad.ckpt"]
    path, _ = checkpoint(tmp_path / "x.ckpt", "gpocm")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="full is there already and not empty"):
        import_model([path], tmp_path / "full")
    with pytest.raises(UsageError, match=r"bad\.ckpt is there already and not empty"):
        import_model([path], tmp_path / "bad.ckpt")
    assert (tmp_path / "full/mine.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    import_model([path], tmp_path / "empty")
    import_model([path], tmp_path / "new/deep")
    assert tree(tmp_path / "empty") == tree(tmp_path / "new/deep")
    assert not [name for name in tree(tmp_path) if ".part" in name]


def test_ctrl_c_leaves_nothing_behind(tmp_path, monkeypatch):
    path, _ = checkpoint(tmp_path / "x.ckpt", "gpocm")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("stemlight.weights.import_checkpoint.save_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_model([path], tmp_path / "a/b")
    assert tree(tmp_path) == ["x.ckpt"]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    path, _ = checkpoint(tmp_path / "x.ckpt", "gpocm")
    with pytest.raises(OutputError, match="cannot write to"):
        import_model([path], path / "below a file")


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".th", ".safetensors", ".onnx", ".PT"])
def test_files_are_told_by_their_suffix(tmp_path, suffix):
    assert is_importable(tmp_path / f"x{suffix}")
    assert not is_importable(tmp_path / "x.wav")
    (tmp_path / "x.wav").write_bytes(b"")
    with pytest.raises(UsageError, match=r"x\.wav is of no kind .* known are \.pt, "):
        import_model([tmp_path / "x.wav"], tmp_path / "made")


# ---------------------------------------------------------------- files as models


def test_a_file_is_imported_once_and_kept(tmp_path, cache):
    path, model = checkpoint(tmp_path / "my vocals.ckpt", "tfc-tdf-large")
    folder = imported(path)
    assert folder.parent == cache / "imported"
    assert read_card(folder).name == "my vocals"
    before = (folder / "card.json").stat().st_mtime_ns
    moved = path.rename(tmp_path / "elsewhere.ckpt")
    assert imported(moved) == folder
    assert (folder / "card.json").stat().st_mtime_ns == before
    assert_separates_as(folder, model)
    assert stemlight.load(moved, n_threads=1).sources == ("vocals",)


def test_a_file_that_does_not_tell_enough_says_how_to_import_it(tmp_path, cache):
    path, _ = checkpoint(tmp_path / "x.ckpt", "tfc-tdf-large")
    with pytest.raises(UsageError, match="add --source NAME"):
        imported(path)
    assert not [name for name in tree(tmp_path) if name != "x.ckpt"]


def test_two_processes_that_import_one_file_both_get_it(tmp_path, monkeypatch):
    path, _ = checkpoint(tmp_path / "vocals.ckpt", "tfc-tdf-large")
    real = stemlight.weights.importing.import_model

    def slower(files, folder, options):
        real(files, folder, options)
        return real(files, folder, options)

    monkeypatch.setattr("stemlight.weights.importing.import_model", slower)
    assert (imported(path) / "card.json").is_file()


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    path, _ = checkpoint(tmp_path / "vocals.ckpt", "tfc-tdf-large")
    monkeypatch.setenv("STEMLIGHT_CACHE", str(path))
    with pytest.raises(OutputError, match="choose another cache with STEMLIGHT_CACHE"):
        imported(path)


# ---------------------------------------------------------------- cards


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    preset=st.sampled_from(list(PRESETS)),
    changes=st.fixed_dictionaries(
        {},
        optional={
            "output_gain": st.floats(0.1, 10),
            "sample_rate_hz": st.integers(8000, 96_000),
            "network": st.fixed_dictionaries(
                {},
                optional={
                    "features": st.lists(st.integers(1, 64), min_size=1, max_size=1),
                    "n_tfc_layers": st.integers(1, 9),
                    "bn_factor": st.none() | st.integers(1, 64),
                    "activation": st.sampled_from(["relu", "leaky_relu", "tanh"]),
                    "head_activation": st.sampled_from([None, "relu"]),
                    "halved_frames": st.sampled_from([None, [0], [], [0, 1]]),
                    "bias": st.booleans(),
                },
            ),
            "stft": st.fixed_dictionaries({}, optional={"hop_samples": st.just(512)}),
            "chunk": st.fixed_dictionaries(
                {}, optional={"trim_samples": st.integers(0, 9000), "overlap_samples": st.just(64)}
            ),
        },
    ),
)
def test_any_config_survives_the_way_through_a_card(preset, changes):
    try:
        config = from_mapping(ModelConfig, merge(to_mapping(PRESETS[preset]), changes))
    except ConfigError:
        return
    name, arguments = closest_preset(config)
    assert resolve_preset(name, json.loads(json.dumps(arguments))) == config


@pytest.mark.parametrize("preset", PRESETS)
def test_the_closest_preset_of_a_preset_differs_in_nothing(preset):
    name, arguments = closest_preset(PRESETS[preset])
    assert arguments == {}
    assert PRESETS[name] == PRESETS[preset]


def test_what_another_version_imported_is_imported_again(tmp_path, shared):
    checkpoint = shared("weights/cac_tdc_17_vocals_top3.pt")
    folder = imported(checkpoint, cache=tmp_path)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "format": 1}))
    assert imported(checkpoint, cache=tmp_path) == folder
    assert json.loads((folder / "card.json").read_text()) == card

"""`stemlight export` of presets, systems and models, and `stemlight blend`."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest
from safetensors.torch import load_file

import stemlight
from stemlight.errors import MissingExtraError, UsageError, WeightsError
from stemlight.separation import KUIELAB_BLEND
from stemlight.weights.cards import read_card, write_card
from stemlight.weights.catalogue import find_model
from stemlight.weights.checkpoints import load_model, save_model
from stemlight.weights.systems import SYSTEMS

from .material import STEMS, TORCH_GONE, noise, python, tree

NETWORK = {
    "network.n_blocks": 5,
    "network.features": [3, 4, 5],
    "stft.n_fft": 256,
    "stft.hop_samples": 64,
    "chunk.trim_samples": 256,
}
TINY = {**NETWORK, "chunk.chunk_samples": 64 * 31}
TINY_MDX = {**TINY, "stft.kept_bins": 64}


def settings(values):
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def mixture(n_samples=20_000, seed=0):
    return noise(n_samples, seed=seed).T.astype(np.float32)


# Presets


@pytest.mark.parametrize("preset", ["lasaft-small", "lasaft-v2", "tfc-tdf-multi-head"])
def test_a_preset_becomes_an_untrained_model_that_runs(run, tmp_path, preset):
    ran = run("export", preset, "-o", tmp_path / "new", *settings(TINY))
    assert ran.code == 0, ran.err
    assert (
        ran.err == f"{tmp_path / 'new'} has random weights: {preset} names an untrained network\n"
    )
    card = read_card(tmp_path / "new")
    assert ran.out == f"{tmp_path / 'new'}: {preset}, {card.n_parameters} parameters\n"
    assert "ntrained" in card.summary
    assert [data.name for data in card.training_data] == ["none"]
    assert "random" in card.licence
    assert tree(tmp_path / "new") == ["card.json", "model.onnx", "model.safetensors"]
    stems = stemlight.load(tmp_path / "new", n_threads=1)(mixture())
    by_torch = stemlight.load(tmp_path / "new", engine="torch", device="cpu")(mixture())
    for name in STEMS:
        scale = np.sqrt(np.mean(by_torch[name] ** 2))
        assert scale > 0
        np.testing.assert_allclose(stems[name], by_torch[name], atol=1e-4 * scale)


def test_a_seed_gives_the_same_bytes_and_another_seed_others(run, tmp_path):
    for name, seed in (("one", []), ("two", ["--seed", 0]), ("three", ["--seed", 1])):
        ran = run("export", "gpocm", "-o", tmp_path / name, *settings(TINY), *seed)
        assert ran.code == 0, ran.err
    for file in ("model.onnx", "model.safetensors"):
        one, two, three = (
            (tmp_path / name / file).read_bytes() for name in ("one", "two", "three")
        )
        assert one == two != three
    assert read_card(tmp_path / "one") == read_card(tmp_path / "two")


def test_a_preset_is_never_taken_for_the_trained_model_of_its_name(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "stemlight.weights.catalogue.usable_models", lambda: {"lightsaft-mdx": tmp_path / "there"}
    )
    ran = run("export", "lightsaft-mdx", "-o", tmp_path / "new", *settings(TINY))
    assert ran.err.endswith(f"; the trained model of this name is in {tmp_path / 'there'}\n")


# Eight bits


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs")
    random = np.random.default_rng(0)
    for name, rate_hz, shape in (("one", 44_100, (2, 50_000)), ("two", 22_050, (1, 3_000))):
        sound = stemlight.Audio(0.2 * random.standard_normal(shape).astype(np.float32), rate_hz)
        sound.save(folder / f"{name}.wav")
    return folder


def test_a_graph_of_eight_bits_is_smaller_close_and_the_same_each_time(run, songs, tmp_path):
    for name in ("one", "two"):
        ran = run("export", "gpocm", "-o", tmp_path / name, *settings(TINY), "--int8", songs)
        assert ran.code == 0, ran.err
        assert ran.out.count("\n") == 1
    one, two = (tmp_path / name / "model.int8.onnx" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert list(read_card(tmp_path / "one").files) == [
        "model.safetensors",
        "model.onnx",
        "model.int8.onnx",
    ]
    exact = stemlight.load(tmp_path / "one", n_threads=1)(mixture())
    coarse = stemlight.load(tmp_path / "one", precision="int8", n_threads=1)(mixture())
    for name, stem in exact.items():
        error = np.square(coarse[name] - stem).sum() / np.square(stem).sum()
        assert 1e-8 < error < 0.05
    damaged = bytearray(one.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    one.write_bytes(damaged)
    with pytest.raises(WeightsError, match=r"model\.int8\.onnx is damaged"):
        stemlight.load(tmp_path / "one", precision="int8")


def test_products_of_feature_maps_are_not_squeezed_into_eight_bits(run, songs, mdx_net, tmp_path):
    """Its network for bass has two levels; each multiplies a skip with what comes from below."""
    ran = run("export", mdx_net / "bass", "-o", tmp_path / "new", "--int8", songs)
    assert ran.code == 0, ran.err
    graph = onnx.load(tmp_path / "new" / "model.int8.onnx").graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    reads = {
        (made_by[node.input[0]], made_by.get(node.input[1], "float"))
        for node in graph.node
        if node.op_type == "Conv"
    }
    assert reads == {("DequantizeLinear", "DequantizeLinear"), ("Mul", "float")}
    products = [
        node for node in graph.node if node.op_type == "Conv" and made_by[node.input[0]] == "Mul"
    ]
    assert len(products) == 2


def test_what_cannot_be_made_of_eight_bits_is_told(run, songs, mdx_net, tmp_path):
    new = tmp_path / "new"
    ran = run("export", "gpocm", "-o", new, *settings(TINY), "--int8", tmp_path / "nowhere")
    assert (ran.code, new.exists()) == (1, False)
    assert "nowhere" in ran.err
    (tmp_path / "empty").mkdir()
    ran = run("export", "gpocm", "-o", new, *settings(TINY), "--int8", tmp_path / "empty")
    assert (ran.code, new.exists()) == (1, False)
    assert "holds no sound files" in ran.err
    ran = run("export", mdx_net, "-o", new, "--int8", songs)
    assert ran.code == 2
    assert "'mdx-net' is a system, whose members get graphs of 8 bits one by one" in ran.err
    assert not new.exists()
    with pytest.raises(UsageError, match=r"-bass' has no 8-bit graph; leave precision out, or"):
        stemlight.load(mdx_net, precision="int8")


# Systems


@pytest.fixture(scope="module")
def mdx_net(tmp_path_factory):
    from stemlight.cli.settings import parse_settings
    from stemlight.weights.untrained import save_untrained_system

    folder = tmp_path_factory.mktemp("systems") / "mdx-net"
    arguments = parse_settings([f"{key}={value}" for key, value in TINY_MDX.items()])
    save_untrained_system("mdx-net", folder, arguments=arguments)
    return folder


def test_mdx_net_is_four_networks_and_a_mixer_that_passes_them_through(run, mdx_net, tmp_path):
    ran = run("export", "mdx-net", "-o", tmp_path / "new", *settings(TINY_MDX))
    assert ran.code == 0, ran.err
    assert tree(tmp_path / "new") == tree(mdx_net)
    card = read_card(tmp_path / "new")
    assert (card.sources, card.mixes) == (("bass", "drums", "other", "vocals"), True)
    stems = stemlight.load(tmp_path / "new", n_threads=1)(mixture())
    members = {name: stemlight.load(tmp_path / "new" / name, n_threads=1) for name in card.members}
    for name, member in members.items():
        np.testing.assert_allclose(stems[name], member(mixture())[name], atol=1e-6)
        assert np.abs(stems[name]).max() > 0
    assert not np.allclose(stems["bass"], stems["drums"], atol=1e-3)  # each has its own weights


def test_every_network_of_a_system_is_that_of_its_source():
    from stemlight.models.presets import PRESETS

    for system in SYSTEMS.values():
        for source, preset in system.members.items():
            assert PRESETS[preset].sources == (source,)


def test_mdx_net_with_demucs_averages_both_with_the_papers_shares(run, tmp_path, foreign):
    ran = run("export", "mdx-net-demucs", "-o", tmp_path / "new", *settings(TINY_MDX))
    assert ran.code == 0, ran.err
    card = read_card(tmp_path / "new")
    assert card.members == ("ours", "demucs:htdemucs")
    assert "demucs:htdemucs: its authors say" in card.licence
    stems = stemlight.load(tmp_path / "new", n_threads=1)(mixture())
    ours = stemlight.load(tmp_path / "new" / "ours", n_threads=1)(mixture())
    theirs = stemlight.load("demucs:htdemucs")(mixture())
    assert foreign == ["htdemucs", "htdemucs"]
    for name, share in KUIELAB_BLEND.items():
        expected = share * ours[name] + (1 - share) * theirs[name]
        np.testing.assert_allclose(stems[name], expected, atol=1e-5)


# Models once more


def test_a_model_written_again_keeps_its_card_and_gives_the_same_bytes(run, model, tmp_path):
    scored = shutil.copytree(model, tmp_path / "scored")
    content = json.loads((scored / "card.json").read_text())
    score = {
        "metric": "SDR",
        "aggregation": "mean",
        "data": "noise",
        "command": "none",
        "average_db": 1.0,
        "stems_db": {"vocals": 1.0},
    }
    (scored / "card.json").write_text(json.dumps(content | {"scores": [score]}))
    ran = run("export", scored, "-o", tmp_path / "again")
    assert ran.code == 0, ran.err
    assert read_card(tmp_path / "again") == read_card(scored)
    (scored / "model.onnx").unlink()  # in place, to renew a graph
    assert run("export", scored, "-o", scored).code == 1
    assert run("export", scored, "-o", scored, "--overwrite", "--name", "new").code == 0
    assert read_card(scored).name == "new"
    assert read_card(scored).files == read_card(tmp_path / "again").files


def test_weights_of_16_bits_take_half_the_room_and_sound_the_same(run, songs, tmp_path):
    """Eleven bits of each weight are 70 dB; networks compute in 32 bits, so that engines agree."""
    import torch

    exact = tmp_path / "exact"
    model, card = load_model(find_model("stemlight"))  # whose weights are 16 bits wide themselves
    with torch.no_grad():
        for weights in model.parameters():
            weights *= 1 + 1e-3 * torch.rand_like(weights)
    save_model(model, card, exact)
    for name in ("half", "again"):
        ran = run("export", exact, "-o", tmp_path / name, "--half", "--int8", songs)
        assert ran.code == 0, ran.err
    assert read_card(tmp_path / "half").files == read_card(tmp_path / "again").files
    for name in ("model.safetensors", "model.onnx"):
        assert (tmp_path / "half" / name).stat().st_size < 0.55 * 4 * read_card(exact).n_parameters
    model, card = load_model(tmp_path / "half")
    save_model(model, card, tmp_path / "wide")  # what was rounded stays what it is
    save_model(model, card, tmp_path / "half-again", half=True)
    halves = read_card(tmp_path / "half").files
    assert (
        read_card(tmp_path / "half-again").files["model.safetensors"] == halves["model.safetensors"]
    )
    sound = mixture(60_000)
    loud = stemlight.load(exact, n_threads=1)(sound)
    by_graph = stemlight.load(tmp_path / "half", n_threads=1)(sound)
    by_torch = stemlight.load(tmp_path / "half", engine="torch", device="cpu")(sound)
    wide = stemlight.load(tmp_path / "wide", n_threads=1)(sound)
    for name, stem in loud.items():
        power = np.square(stem).sum()
        errors = [np.square(other[name] - stem).sum() for other in (by_graph, by_torch, wide)]
        assert 1e-9 * power < min(errors), name
        assert max(errors) < 1e-5 * power, name
        assert np.square(by_graph[name] - by_torch[name]).sum() < 1e-6 * power, name


def test_a_model_that_is_saved_in_16_bits_stays_as_it_is_in_memory(model, tmp_path):
    import torch

    kept, card = load_model(model)
    with torch.no_grad():
        loud, soft, *_ = (name for name, each in kept.network.named_parameters() if each.ndim > 2)
        kept.network.get_parameter(loud).view(-1)[0] = 1e5  # more than 16 bits hold
        kept.network.get_parameter(soft).mul_(1e-7)  # less than they tell apart
    before = {name: tensor.clone() for name, tensor in kept.network.state_dict().items()}
    save_model(kept, card, tmp_path / "half", half=True)
    after = kept.network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    stored = load_file(tmp_path / "half" / "model.safetensors")
    for name, tensor in before.items():
        is_half = tensor.ndim > 1 and name not in (loud, soft)
        assert stored[name].dtype == (torch.float16 if is_half else tensor.dtype), name
    assert load_model(tmp_path / "half")[0].network.state_dict().keys() == before.keys()


def test_fine_tuned_weights_get_a_graph_of_their_own(run, model, tmp_path):
    import torch

    trained, card = load_model(model)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1.1)
    save_model(trained, card, tmp_path / "tuned")
    old = (model / "model.onnx").read_bytes()
    (tmp_path / "tuned" / "model.onnx").write_bytes(old)
    assert run("export", tmp_path / "tuned", "-o", tmp_path / "again").code == 0
    assert (tmp_path / "again" / "model.onnx").read_bytes() != old


def test_a_graph_of_others_is_written_in_our_own_form(run, mdx_net, tmp_path):
    folder = shutil.copytree(mdx_net / "drums", tmp_path / "drums")
    content = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(content | {"graph_layout": "mdx"}))
    assert run("export", folder, "-o", tmp_path / "again").code == 0
    assert read_card(tmp_path / "again").graph_layout == "stemlight"
    stems = stemlight.load(tmp_path / "again", n_threads=1)(mixture())
    expected = stemlight.load(mdx_net / "drums", n_threads=1)(mixture())
    np.testing.assert_array_equal(stems["drums"], expected["drums"])


def test_a_system_is_written_again_with_its_members_and_mixer(run, mdx_net, tmp_path):
    assert run("export", mdx_net, "-o", tmp_path / "again", "--name", "mine").code == 0
    card = read_card(tmp_path / "again")
    assert card.name == "mine"
    assert card.files == read_card(mdx_net).files
    assert tree(tmp_path / "again") == tree(mdx_net)
    assert run("export", mdx_net, "-o", tmp_path / "again", "--overwrite").code == 0
    assert read_card(tmp_path / "again") == read_card(mdx_net)


def test_a_card_can_be_completed(run, model, tmp_path):
    (tmp_path / "card.yaml").write_text("licence: CC0\n")
    ran = run("export", model, "-o", tmp_path / "new", "--card", tmp_path / "card.yaml")
    assert ran.code == 0, ran.err
    assert read_card(tmp_path / "new").licence == "CC0"


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (
            ["lasaft-smal"],
            2,
            "no preset, system or model 'lasaft-smal' (did you mean 'lasaft-small'",
        ),
        (["gpocm", "--set", "network.n_block=5"], 2, "UNetConfig has no field 'n_block' (did you"),
        (["gpocm", "--set", "network"], 2, "--set needs key=value, for example network.n_blocks=9"),
        (["gpocm", "--card", "x"], 2, "--card belongs to trained weights"),
        (["gpocm", "--half"], 2, "--half belongs to trained weights"),
        (["{model}", "--set", "a=1"], 2, "--set belongs to a preset, a system or a --recipe"),
        (["{model}", "--seed", "1"], 2, "--seed belongs to a preset or a system"),
        (["mdx-net", "--set", "network.x=1"], 2, "UNetConfig has no field 'x'"),
        (["{model}/model.onnx"], 2, "model.onnx is a file: of a checkpoint of stemlight train say"),
        (["demucs:htdemucs"], 2, "no preset, system or model 'demucs:htdemucs'"),
    ],
)
def test_wrong_questions_are_one_line_and_leave_nothing(
    run, model, tmp_path, arguments, code, line
):
    words = [word.format(model=model) for word in arguments]
    ran = run("export", *words, "-o", tmp_path / "new")
    assert (ran.code, ran.out) == (code, "")
    assert line in ran.err
    assert ran.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_one_line(run, tmp_path):
    (tmp_path / "file").write_text("")
    for target in ("gpocm", "mdx-net"):
        ran = run("export", target, "-o", tmp_path / "file" / "new", *settings(TINY_MDX))
        assert ran.code == (2 if target == "gpocm" else 1), ran.err
        assert ran.err.count("\n") == 1


def test_exporting_without_torch_names_the_extra(tmp_path):
    ran = python(TORCH_GONE, "export", "gpocm", "-o", tmp_path / "new")
    assert ran.returncode == 1
    assert "pip install 'stemlight[torch]'" in ran.stderr


# Models of other projects


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_model_of_demucs_is_loaded_by_its_address(foreign, engine):
    separator = stemlight.load("demucs:htdemucs_ft", engine=engine, device="cpu")
    assert foreign == ["htdemucs_ft"]
    assert separator.sources == ("drums", "bass", "other", "vocals")
    stems = separator(mixture(5000), sources=["vocals"])
    assert stems["vocals"].shape == (2, 5000)


def test_an_address_obeys_device_and_offline(foreign):
    with pytest.raises(UsageError, match="'cuda' with the torch engine alone; add engine='torch'"):
        stemlight.load("demucs:htdemucs", device="cuda")
    with pytest.raises(UsageError, match="may download it; leave offline out"):
        stemlight.load("demucs:htdemucs", offline=True)
    with pytest.raises(UsageError, match="no Open-Unmix model 'umxx'; there are umx, umxhq, umxl"):
        stemlight.load("openunmix:umxx")
    with pytest.raises(UsageError, match="no model 'demucs:'"):
        stemlight.load("demucs:")
    assert foreign == []


def test_an_address_without_its_package_names_the_extra(monkeypatch):
    import sys

    for module in ("demucs", "demucs.pretrained"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stemlight\[demucs\]'"):
        stemlight.load("demucs:htdemucs")


# Blending


@pytest.fixture(scope="module")
def other_model(tmp_path_factory):
    from stemlight.cli.settings import parse_settings
    from stemlight.weights.untrained import save_untrained_model

    folder = tmp_path_factory.mktemp("models") / "other"
    arguments = parse_settings([f"{key}={value}" for key, value in TINY.items()])
    save_untrained_model("lasaft-v2", folder, arguments=arguments, name="tiny")
    return folder


def test_a_blend_is_a_model_that_averages_copies(run, model, other_model, tmp_path):
    ran = run("blend", model, other_model, "-o", tmp_path / "mix", "--shares", "vocals=.9, drums=1")
    assert ran.code == 0, ran.err
    assert ran.out == f"{tmp_path / 'mix'}: tiny, tiny-2; stems {', '.join(STEMS)}\n"
    card = read_card(tmp_path / "mix")
    assert card.weights["vocals"] == {"tiny": 0.9, "tiny-2": 0.1}
    assert card.weights["drums"] == {"tiny": 1.0}
    assert card.licence == "tiny: MIT; tiny-2: none needed: random numbers, not trained"
    assert {data.name for data in card.training_data} == {"nothing", "none"}
    stems = stemlight.load(tmp_path / "mix", n_threads=1)(mixture())
    first, second = (stemlight.load(each, n_threads=1)(mixture()) for each in (model, other_model))
    for name, share in {"vocals": 0.9, "drums": 1, "bass": 0.5, "other": 0.5}.items():
        expected = share * first[name] + (1 - share) * second[name]
        np.testing.assert_allclose(stems[name], expected, atol=1e-5)


def test_a_blend_holds_what_the_cards_list_and_is_verified(run, model, other_model, tmp_path):
    littered = shutil.copytree(model, tmp_path / "littered")
    (littered / "notes.txt").write_text("mine")
    assert run("blend", littered, other_model, "-o", tmp_path / "mix").code == 0
    assert "tiny/notes.txt" not in tree(tmp_path / "mix")
    write_card(read_card(model), tmp_path / "mix" / "tiny-2")
    ran = run("evaluate", tmp_path / "mix", "--data", tmp_path)
    assert ran.code == 1
    assert "card.json is damaged" in ran.err


def test_a_blend_refers_to_models_of_other_projects(run, model, foreign, tmp_path):
    ran = run("blend", model, "demucs:htdemucs", "-o", tmp_path / "mix", "--shares", "kuielab")
    assert ran.code == 0, ran.err
    card = read_card(tmp_path / "mix")
    assert card.members == ("tiny", "demucs:htdemucs")
    assert card.band_limit_hz == dict.fromkeys(STEMS, 22050.0)
    assert "that of demucs:htdemucs" in {data.name for data in card.training_data}
    stems = stemlight.load(tmp_path / "mix", n_threads=1)(mixture())
    ours = stemlight.load(model, n_threads=1)(mixture())
    theirs = stemlight.load("demucs:htdemucs")(mixture())
    for name, share in KUIELAB_BLEND.items():
        expected = share * ours[name] + (1 - share) * theirs[name]
        np.testing.assert_allclose(stems[name], expected, atol=1e-5)
    assert run("blend", tmp_path / "mix", model, "-o", tmp_path / "more").code == 0
    assert "mix/card.json" in tree(tmp_path / "more")
    again = run("export", tmp_path / "mix", "-o", tmp_path / "again")
    assert (again.code, tree(tmp_path / "again")) == (0, tree(tmp_path / "mix"))
    assert run("blend", "demucs:a", "demucs:b", "-o", tmp_path / "theirs").code == 0
    assert read_card(tmp_path / "theirs").sources == ("drums", "bass", "other", "vocals")


@pytest.mark.parametrize("name", ["..", "a/b", ""])
def test_a_member_that_leads_elsewhere_is_refused(run, model, mdx_net, tmp_path, name):
    folder = shutil.copytree(mdx_net, tmp_path / "system")
    content = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(content | {"members": ["bass", name]}))
    for command in (["export", folder], ["blend", folder, model]):
        ran = run(*command, "-o", tmp_path / "new")
        assert ran.code == 1
        assert f"the card of 'mdx-net' has {name!r}, no name of a member" in ran.err
        assert not (tmp_path / "new").exists()


def test_a_blend_of_blends_runs(run, model, other_model, tmp_path):
    assert run("blend", model, other_model, "-o", tmp_path / "a").code == 0
    assert run("blend", tmp_path / "a", model, "-o", tmp_path / "b").code == 0
    stems = stemlight.load(tmp_path / "b", n_threads=1)(mixture(3000))
    assert list(stems) == list(STEMS)


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["{model}"], 2, "a blend needs at least two models, not 1"),
        (["{model}", "{model}", "{model}", "--shares", "kuielab"], 2, "there are 3"),
        (
            ["{model}", "{model}", "--shares", "vocals"],
            2,
            "--shares needs kuielab, or stems and num",
        ),
        (["{model}", "{model}", "--shares", "vocals=x"], 2, "got 'vocals=x'"),
        (
            ["{model}", "{model}", "--shares", "vocals=2"],
            2,
            "share for 'vocals' must lie in 0..1, not",
        ),
        (
            ["{model}", "{model}", "--shares", "vocal=.5"],
            2,
            "weight for 'vocal' (did you mean 'vocals'",
        ),
        (["{model}", "nothing"], 2, "no model 'nothing'"),
    ],
)
def test_models_that_do_not_blend_are_one_line(run, model, tmp_path, arguments, code, line):
    words = [word.format(model=model) for word in arguments]
    ran = run("blend", *words, "-o", tmp_path / "mix")
    assert (ran.code, ran.out) == (code, "")
    assert line in ran.err
    assert ran.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_blend_is_not_laid_over_anything(run, model, tmp_path):
    (tmp_path / "file").write_text("mine")
    ran = run("blend", model, model, "-o", tmp_path)
    assert ran.code == 1
    assert f"{tmp_path} is not empty; choose another folder" in ran.err

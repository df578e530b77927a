"""Models go up to Hugging Face and come down again, from a server of the same endpoints."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys

import pytest
import yaml

import stemlight
from stemlight.errors import DownloadError, UsageError, WeightsError
from stemlight.weights.cards import Score, read_card
from stemlight.weights.catalogue import find_model
from stemlight.weights.huggingface import fetch_repository, model_readme, push_to_hub

from .fake_huggingface import COMMIT, FakeHuggingFace

MODEL_FILES = {"card.json", "model.onnx", "model.safetensors"}


@pytest.fixture
def site(tmp_path, monkeypatch):
    from huggingface_hub import constants

    with FakeHuggingFace() as site:
        template = f"{site.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", site.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_TOKEN", "hf_token_of_the_tests")
        monkeypatch.setenv("STEMLIGHT_CACHE", str(tmp_path / "cache"))
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield site


@pytest.fixture
def published(site, tiny_model):
    files = {path.name: path.read_bytes() for path in tiny_model.iterdir()}
    site.repositories["owner/tiny"] = files
    return site


def test_a_model_that_went_up_comes_down_the_same(site, tiny_model, tmp_path):
    model = shutil.copytree(tiny_model, tmp_path / "tiny")
    (model / "private.txt").write_text("not in the card")
    assert push_to_hub(model, "owner/tiny", token="t0ken") == "hf://owner/tiny"
    assert set(site.repositories["owner/tiny"]) == {*MODEL_FILES, "README.md"}
    assert site.private == set()
    assert ("POST", "api/models/owner/tiny/commit/main", "Bearer t0ken") in site.calls
    folder = fetch_repository("hf://owner/tiny")
    assert {path.name for path in folder.iterdir()} == MODEL_FILES
    for name in MODEL_FILES:
        assert (folder / name).read_bytes() == (tiny_model / name).read_bytes()


def test_a_private_upload_makes_a_private_repository(site, tiny_model):
    push_to_hub(tiny_model, "owner/tiny", private=True)
    assert site.private == {"owner/tiny"}


def test_a_damaged_model_is_not_uploaded(site, tiny_model, tmp_path):
    broken = shutil.copytree(tiny_model, tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"no")
    with pytest.raises(WeightsError, match=r"model\.onnx is damaged"):
        push_to_hub(broken, "owner/tiny")
    assert site.calls == []


def test_a_refused_upload_is_one_line(site, tiny_model, monkeypatch):
    monkeypatch.setattr(site, "answer", lambda path, body: (401, {}, b""))
    with pytest.raises(WeightsError, match=r"cannot upload .*tiny to owner/tiny: .*401") as raised:
        push_to_hub(tiny_model, "owner/tiny")
    assert "\n" not in str(raised.value)


def test_a_model_loads_by_its_address(published):
    separator = stemlight.load("hf://owner/tiny", n_threads=1)
    assert separator.sources == ("vocals", "drums", "bass", "other")
    assert stemlight.model_card("hf://owner/tiny@v1").name == "tiny"


def test_nothing_but_cards_safetensors_and_graphs_comes_down(published):
    published.repositories["owner/tiny"]["pytorch_model.bin"] = b"a pickle"
    folder = fetch_repository("hf://owner/tiny")
    assert {path.name for path in folder.iterdir()} == MODEL_FILES


def test_a_fetched_model_needs_no_network_any_more(published):
    folder = find_model("hf://owner/tiny")
    assert folder.name == COMMIT
    published.calls.clear()
    assert find_model("hf://owner/tiny", offline=True) == folder
    assert published.calls == []


@pytest.mark.parametrize(
    ("address", "offline", "line"),
    [
        ("hf://owner/tiny", True, "it is not here and --offline forbids it; run without it"),
        ("hf://owner/nothing", False, "there is no such model, or it is private: hf auth login"),
        ("hf://owner/tiny@v9", False, "it has no such branch, tag or commit"),
    ],
)
def test_what_cannot_be_had_is_one_line(published, address, offline, line):
    with pytest.raises(DownloadError) as raised:
        fetch_repository(address, offline=offline)
    assert str(raised.value) == f"cannot download {address}: {line}"


def test_a_site_that_cannot_be_reached_is_one_line(site, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="Hugging Face cannot be reached; check the conn"):
        fetch_repository("hf://owner/tiny")


def test_a_repository_without_card_is_no_model(site):
    site.repositories["owner/other"] = {"model.onnx": b"x"}
    with pytest.raises(WeightsError, match=r"hf://owner/other holds no model of stemlight: it has"):
        fetch_repository("hf://owner/other")


@pytest.mark.parametrize(
    "address", ["hf://", "hf://owner", "hf://a/b/c", "hf://a/b@", "hf://a b/c"]
)
def test_a_wrong_address_is_wrong_usage(address):
    with pytest.raises(UsageError, match="write hf://owner/repo or hf://owner/repo@revision"):
        find_model(address)


def test_a_wrong_repository_is_wrong_usage(tiny_model):
    with pytest.raises(UsageError, match="'tiny' is no repository; write owner/repo"):
        push_to_hub(tiny_model, "tiny")


def test_the_readme_says_what_the_card_says(tiny_model):
    score = Score(
        metric="SDR",
        aggregation="mean",
        data="some tracks",
        command="stemlight evaluate",
        average_db=5.5,
        stems_db={"vocals": 5.5},
    )
    card = dataclasses.replace(read_card(tiny_model), scores=(score,))
    _, header, text = model_readme(card, "owner/tiny").split("---\n")
    assert yaml.safe_load(header) == {
        "license": "mit",
        "library_name": "stemlight",
        "pipeline_tag": "audio-to-audio",
        "tags": ["stemlight", "music-source-separation", "audio"],
    }
    for words in (
        "stemlight separate song.mp3 --model hf://owner/tiny",
        "Trained on: nothing (none)",
        "SDR: 5.50 dB (vocals 5.50); mean; some tracks; `stemlight evaluate`",
    ):
        assert words in text
    other = dataclasses.replace(card, licence="Weights: for research only")
    assert "license: other\nlicense_name: see-below\n" in model_readme(other, "owner/tiny")


def test_without_the_package_the_extra_is_named(tiny_model):
    code = (
        "import sys\n"
        "sys.modules['huggingface_hub'] = None\n"
        "from stemlight.errors import MissingExtraError\n"
        "from stemlight.weights.catalogue import find_model\n"
        "try: find_model('hf://a/b')\n"
        "except MissingExtraError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == (
        "a model on Hugging Face needs huggingface_hub, which is not installed; "
        "run: pip install 'stemlight[hub]'\n"
    )

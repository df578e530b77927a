"""`stemlight models`: the list, and `fetch`, `remove` and `push`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time

import pytest

from stemlight.cli import hub
from stemlight.weights import downloads
from stemlight.weights.cards import read_card, write_card
from stemlight.weights.catalogue import embedded_models
from stemlight.weights.checksums import sha256
from stemlight.weights.remote_models import REMOTE_MODELS, RemoteFile

from ..weights.misbehaving import Server
from .material import TORCH_GONE, python, stems_of, tree

CONTENT = b"weights" * 40_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()

# The command in a process of its own, with a registered model `toy` whose installer copies.
TOY = (
    "import dataclasses, shutil, sys\n"
    "url, digest, model = sys.argv[1:4]\n"
    "del sys.argv[1:4]\n"
    "from stemlight.cli import hub, main\n"
    "from stemlight.weights.checksums import sha256\n"
    "from stemlight.weights.remote_models import REMOTE_MODELS, RemoteFile\n"
    "file = RemoteFile(name='toy.ckpt', url=url, checksum=sha256(digest))\n"
    "toy = dataclasses.replace(REMOTE_MODELS['lightsaft-mdx'], name='toy', files=(file,))\n"
    "REMOTE_MODELS['toy'] = toy\n"
    "hub._install = lambda _, files, folder: shutil.copytree(model, folder, dirs_exist_ok=True)\n"
    "main()"
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STEMLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(downloads, "_PAUSES_SECONDS", (0.0,))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server():
    with Server() as server:
        server.files["/toy.ckpt"] = CONTENT
        yield server


@pytest.fixture
def toy(server, model, monkeypatch):
    """A registered model, `toy`, that the server has."""
    file = RemoteFile(
        name="toy.ckpt", url=f"{server.url}/toy.ckpt", checksum=sha256(DIGEST), n_bytes=len(CONTENT)
    )
    toy = dataclasses.replace(REMOTE_MODELS["lightsaft-mdx"], name="toy", files=(file,))
    monkeypatch.setitem(REMOTE_MODELS, "toy", toy)

    def install(_, files, folder):
        assert files["toy.ckpt"].read_bytes() == CONTENT
        shutil.copytree(model, folder, dirs_exist_ok=True)
        write_card(dataclasses.replace(read_card(folder), name="toy"), folder)

    monkeypatch.setattr(hub, "_install", install)
    return toy


def listed(run):
    return {model["name"]: model for model in json.loads(run("models", "--json").out)}


# The list


def test_the_list_has_every_model_in_100_columns(run):
    ran = run("models")
    assert ran.code == 0
    header, *rows = ran.out.splitlines()
    assert header.split() == ["name", "here", "stems", "size", "licence", "SDR"]
    assert [row.split()[0] for row in rows] == [*embedded_models(), *REMOTE_MODELS]
    assert max(map(len, [header, *rows])) <= 100
    table = {row.split()[0]: row for row in rows}
    assert table["stemlight"].split()[1] == "inside"
    words = "mdx-net-a no bass, drums, other, vocals 118.8 MB MIT 7.41 dB"
    assert " ".join(table["mdx-net-a"].split()) == words
    assert table["lasaft-v2-light"].split()[-3:] == ["unknown", "MIT", "unknown"]
    assert ran.err == "SDRs are of different music and metrics: stemlight info NAME tells which\n"


def test_the_json_list_has_all_that_is_known(run):
    models = listed(run)
    assert list(models) == [*embedded_models(), *REMOTE_MODELS]
    keys = set(models["stemlight"])
    assert all(set(model) == keys for model in models.values())
    assert models["stemlight"]["here"] == "inside"
    assert models["stemlight"]["scores"][0]["stems_db"]["vocals"] > 0
    remote = models["lasaft-large-2020"]
    assert (remote["here"], remote["folder"]) == ("no", None)
    assert remote["architecture"].startswith("conditioned U-Net")
    assert remote["files"]["lasaft_large_2020.ckpt"]["n_bytes"] == 378_945_635
    assert set(models["lasaft-v2-light"]["files"]["epoch=669.ckpt"]) == {
        "url",
        "git_blob_id",
        "n_bytes",
    }


def test_a_damaged_card_does_not_hide_the_other_models(run, cache):
    (cache / "models" / "bad").mkdir(parents=True)
    (cache / "models" / "bad" / "card.json").write_text("{")
    ran = run("models")
    assert ran.code == 0
    assert len(ran.errors) == 1
    assert ran.errors[0].startswith("error: bad: ")
    assert ran.out.startswith("name")


def test_json_belongs_to_the_list(run):
    ran = run("models", "--json", "remove", "x")
    assert ran.code == 2
    assert ran.err == "error: --json belongs to the list: stemlight models --json\n"


def test_unknown_subcommands_are_wrong_usage(run):
    ran = run("models", "fetsch")
    assert ran.code == 2
    assert "No such command 'fetsch'" in ran.err


def test_listing_needs_no_torch():
    ran = python(TORCH_GONE, "models")
    assert ran.returncode == 0, ran.stderr


def test_info_of_a_model_that_is_not_here_tells_where_it_lies(run):
    ran = run("info", "mdx-net-b")
    assert ran.code == 0
    lines = [line.split(maxsplit=1) for line in ran.out.splitlines()]
    assert ["model", "mdx-net-b, not here; run: stemlight models fetch mdx-net-b"] in lines
    assert any(words[0] == "trained" and "AND test half" in words[1] for words in lines)
    assert "sha256 a6fecee758059b33ed99f6dabba297439b3e7cacfac4b1097bd324aff8052208" in ran.out


# Fetching and removing


def test_a_model_is_fetched_listed_used_and_removed(run, toy, song, tmp_path, cache):
    ran = run("separate", song, "--model", "toy", "-o", tmp_path / "out")
    assert ran.code == 2
    assert ran.err == "error: model 'toy' is not here; run: stemlight models fetch toy\n"
    assert listed(run)["toy"]["here"] == "no"

    ran = run("models", "fetch", "toy")
    assert (ran.code, ran.out) == (0, f"{cache}/models/toy\n")
    assert ran.err == "downloading toy.ckpt (0.3 MB)\n"
    assert listed(run)["toy"]["here"] == "yes"
    assert run("info", "toy").out.splitlines()[0].split() == ["model", "toy"]
    assert run("separate", song, "--model", "toy", "-o", tmp_path / "out").code == 0
    assert tree(tmp_path / "out") == stems_of("song")

    assert run("models", "remove", "toy").code == 0
    assert tree(cache) == []
    ran = run("models", "remove", "toy")
    assert ran.code == 2
    assert ran.err.startswith(f"error: the model 'toy' is not in {cache}")


def test_a_model_of_the_package_is_here_and_stays(run):
    ran = run("models", "fetch", "stemlight")
    assert (ran.code, ran.out) == (0, f"{embedded_models()['stemlight']}\n")
    ran = run("models", "remove", "stemlight")
    assert ran.code == 2
    assert ran.err == "error: the model 'stemlight' is inside this package and cannot be removed\n"


def test_offline_uses_no_network(run, toy, server, cache):
    ran = run("models", "fetch", "toy", "--offline")
    assert ran.code == 1
    assert "--offline forbids to download it; run without it: stemlight models fetch toy" in ran.err
    assert run("models", "fetch", "toy").code == 0
    server.requests.clear()
    assert run("models", "fetch", "toy", "--offline").code == 0
    assert server.requests == []


@pytest.mark.parametrize(
    ("manners", "line"),
    [
        ({"every_status": 404}, "the server answered 404 Not Found; the file is no longer there"),
        ({"every_status": 503}, "the server answered 503 Service Unavailable, 2 times; try later"),
        ({"cuts": [9, 0, 0]}, "the connection was cut after 9 of 280000 bytes, 2 times"),
        ({"announced_bytes": 5}, "is not the expected file: it has 5 bytes, expected 280000"),
    ],
)
def test_a_server_that_misbehaves_is_one_line_and_code_1(run, toy, server, cache, manners, line):
    for name, value in manners.items():
        setattr(server.manners, name, value)
    ran = run("models", "fetch", "toy")
    assert (ran.code, ran.out) == (1, "")
    assert len(ran.errors) == 1
    assert line in ran.errors[0]
    assert not (cache / "models" / "toy").exists()


def test_a_wrong_name_is_code_2(run):
    ran = run("models", "fetch", "mdx-net")
    assert ran.code == 2
    assert "no model 'mdx-net' can be fetched (did you mean 'mdx-net-" in ran.err


# Processes of their own


def start(server, model, *arguments, **options):
    command = [sys.executable, "-c", TOY, f"{server.url}/toy.ckpt", DIGEST, str(model)]
    return subprocess.Popen([*command, *arguments], text=True, **options)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_only_what_can_be_resumed(server, model, cache, number, code):
    server.manners.cuts = [100_000]
    server.manners.stall_seconds = 30

    def stall_later() -> None:
        server.manners.stalls = len(server.requests) > 1

    server.before_answer = stall_later
    process = start(server, model, "models", "fetch", "toy", stderr=subprocess.PIPE)
    give_up = time.monotonic() + 30
    while len(server.requests) < 2:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert err == "downloading toy.ckpt (0.3 MB)\n"
    folder = f"downloads/{DIGEST}"
    assert tree(cache) == [f"{folder}/toy.ckpt.part", f"{folder}/toy.ckpt.part.version"]
    server.manners.stalls, server.before_answer = 0, lambda: None
    assert start(server, model, "models", "fetch", "toy").wait(timeout=30) == 0
    assert server.ranges[-1] == "bytes=100000-"


def test_a_terminal_gets_a_bar_and_standard_output_the_folder(server, model, cache):
    terminal, side = pty.openpty()
    process = start(
        server,
        model,
        "models",
        "fetch",
        "toy",
        stdout=subprocess.PIPE,
        stderr=side,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(side)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the process is gone
            break
        shown += piece
    out, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == 0
    assert b"toy.ckpt" in shown
    assert out == f"{cache}/models/toy\n"


# Hugging Face


def test_a_folder_is_pushed_and_its_address_printed(run, model, monkeypatch):
    from stemlight.weights import huggingface

    calls = []

    def push(folder, repository, *, private):
        calls.append((folder, repository, private))
        return f"hf://{repository}"

    monkeypatch.setattr(huggingface, "push_to_hub", push)
    ran = run("models", "push", model, "owner/tiny", "--private")
    assert (ran.code, ran.out) == (0, "hf://owner/tiny\n")
    assert calls == [(model, "owner/tiny", True)]


def test_pushing_what_is_no_model_is_one_line(run, tmp_path):
    ran = run("models", "push", tmp_path, "owner/tiny")
    assert ran.code == 1
    assert ran.err == f"error: {tmp_path} is no model: it has no card.json\n"
    ran = run("models", "push", tmp_path, "owner")
    assert ran.code == 2
    assert ran.err == "error: 'owner' is no repository; write owner/repo\n"


def test_a_model_on_hugging_face_is_fetched_by_its_address(run, model, monkeypatch):
    from stemlight.weights import huggingface

    asked = []

    def fetch(address, *, offline):
        asked.append((address, offline))
        return model

    monkeypatch.setattr(huggingface, "fetch_repository", fetch)
    ran = run("models", "fetch", "hf://owner/tiny", "--offline")
    assert (ran.code, ran.out) == (0, f"{model}\n")
    assert asked == [("hf://owner/tiny", True)]

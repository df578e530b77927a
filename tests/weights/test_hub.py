"""The cache of models: filled from a server of this machine, whole or not at all."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest

import stemlight
from stemlight.api import list_models
from stemlight.errors import DownloadError, OutputError, UsageError, WeightsError
from stemlight.models.presets import PRESETS
from stemlight.weights import downloads, hub
from stemlight.weights.archives import extract_member
from stemlight.weights.cards import EnsembleCard, file_facts, read_card, write_card
from stemlight.weights.catalogue import DEFAULT_MODEL, embedded_models, find_model
from stemlight.weights.checksums import sha256
from stemlight.weights.hub import (
    cache_folder,
    cached_models,
    fetch,
    model_files,
    remove,
    verify_model,
)
from stemlight.weights.remote_models import REMOTE_MODELS, RemoteFile, RemoteModel

from .misbehaving import Server

FIRST, SECOND = b"first" * 20_000, b"second" * 20_000


def digest(content):
    return hashlib.sha256(content).hexdigest()


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STEMLIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "_PAUSES_SECONDS", (0.0,))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as server:
        server.files |= {"/first.bin": FIRST, "/second.bin": SECOND}
        server.files["/both.zip"] = zipped(
            folder__first=FIRST, folder__second=SECOND, __MACOSX__folder___first=b"junk"
        )
        yield server


@pytest.fixture
def toy(server, monkeypatch):
    """A registered model of two files, `toy`; and one whose files are in a zip, `packed`."""
    mdx = REMOTE_MODELS["mdx-net-a"]
    files = (
        RemoteFile(name="first.bin", url=f"{server.url}/first.bin", checksum=sha256(digest(FIRST))),
        RemoteFile(
            name="second.bin",
            url=f"{server.url}/second.bin",
            checksum=sha256(digest(SECOND)),
            n_bytes=len(SECOND),
        ),
    )
    packed = tuple(
        dataclasses.replace(
            file, url=f"{server.url}/both.zip?download=1", archive_member=file.name[:-4]
        )
        for file in files
    )
    for name, parts in {"toy": files, "packed": packed}.items():
        model = dataclasses.replace(mdx, name=name, files=parts)
        monkeypatch.setitem(REMOTE_MODELS, name, model)
    return REMOTE_MODELS["toy"]


@pytest.fixture
def installer(tiny_model):
    def install(model, files, folder):
        assert files["first.bin"].read_bytes() == FIRST
        assert files["second.bin"].read_bytes() == SECOND
        assert list(folder.iterdir()) == []
        shutil.copytree(tiny_model, folder, dirs_exist_ok=True)

    return install


def never(model, files, folder):
    raise AssertionError("nothing is to be installed")


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


WHOLE = [f"models/toy/{name}" for name in ("card.json", "model.onnx", "model.safetensors")]
PACKED = [path.replace("toy", "packed") for path in WHOLE]

# The registry


def test_the_registry_knows_the_models_of_the_papers():
    assert list(REMOTE_MODELS) == [
        "mdx-net-a",
        "mdx-net-b",
        "lasaft-v2-light",
        "lasaft-v2-large",
        "lasaft-large-2020",
        "lightsaft-mdx",
        "tdc-vocals-2020",
    ]


@pytest.mark.parametrize("model", REMOTE_MODELS.values(), ids=list(REMOTE_MODELS))
def test_a_registered_model_is_told_in_full(model):
    assert model.summary.endswith(".")
    assert model.licence == "MIT"
    assert model.training_data
    assert model.architecture
    assert len({file.name for file in model.files}) == len(model.files)
    for file in model.files:
        length = {"sha256": 64, "git blob id": 40}[file.checksum.kind]
        assert re.fullmatch(f"[0-9a-f]{{{length}}}", file.checksum.digest)
        for url in (file.url, *file.mirrors):
            assert re.fullmatch(r"https?://[A-Za-z0-9./_?=%-]+", url)


def test_sizes_are_those_of_the_files_or_unknown():
    assert REMOTE_MODELS["mdx-net-a"].n_bytes == 4 * 29_703_204 + 1208
    assert REMOTE_MODELS["mdx-net-b"].n_bytes == 3 * 29_703_204 + 21_930_313
    assert REMOTE_MODELS["lasaft-v2-light"].n_bytes is None


def test_addresses_are_quoted():
    url = REMOTE_MODELS["lasaft-v2-light"].files[0].url
    assert url.endswith("/LASAFT-Net-v2/main/lasaft/pretrained/v2_light/epoch%3D669.ckpt")


def test_what_was_trained_on_the_test_set_says_so():
    model = REMOTE_MODELS["mdx-net-b"]
    assert "trained on the test tracks" in model.summary
    assert "test half" in model.training_data[0].name
    assert model.scores == ()


def test_the_weights_that_are_here_have_the_registered_hashes(shared):
    for model, name in (("mdx-net-a", "mixer.ckpt"), ("tdc-vocals-2020", None)):
        file = next(f for f in REMOTE_MODELS[model].files if name in (None, f.name))
        path = shared(f"weights/{file.name}")
        assert file.checksum.fits(path)
        assert path.stat().st_size == file.n_bytes


@pytest.mark.parametrize("model", REMOTE_MODELS.values(), ids=list(REMOTE_MODELS))
def test_the_registered_presets_are_there_and_give_the_registered_sources(model):
    names = [model.preset.replace("*", source) for source in model.sources]
    sources = [source for name in dict.fromkeys(names) for source in PRESETS[name].sources]
    assert tuple(sources) == model.sources


# Fetching


@pytest.mark.parametrize(("name", "files"), [("toy", WHOLE), ("packed", PACKED)])
def test_a_fetched_model_is_whole_verified_and_alone_in_the_cache(
    toy, installer, cache, name, files
):
    told = []
    folder = fetch(name, installer=installer, on_progress=lambda *facts: told.append(facts))
    assert folder == cache / "models" / name
    assert tree(cache) == files
    names = {"toy": {"first.bin", "second.bin"}, "packed": {"both.zip"}}
    assert {file for file, _, _ in told} == names[name]
    assert all(0 <= n_done <= n_total for _, n_done, n_total in told)


def test_a_fetched_model_separates_by_its_name(toy, installer, cache):
    with pytest.raises(UsageError) as raised:
        find_model("toy")
    assert str(raised.value) == "model 'toy' is not here; run: stemlight models fetch toy"
    assert "toy" not in list_models()
    fetch("toy", installer=installer)
    assert list_models() == [*embedded_models(), "toy"]
    mixture = np.zeros((2, 1000), np.float32)
    assert set(stemlight.load("toy", n_threads=1)(mixture)) == {"vocals", "drums", "bass", "other"}


def test_a_zip_is_downloaded_once_for_all_its_members(toy, server, installer, cache):
    fetch("packed", installer=installer)
    assert len(server.requests) == 1


def test_a_model_that_is_here_is_not_fetched_again(toy, server, installer, cache):
    fetch("toy", installer=installer)
    server.requests.clear()
    fetch("toy", installer=never)
    fetch("toy", installer=never, offline=True)
    assert server.requests == []


def test_a_damaged_model_is_made_again(toy, installer, cache):
    folder = fetch("toy", installer=installer)
    (folder / "model.onnx").write_bytes(b"damaged")
    fetch("toy", installer=installer)
    stemlight.load("toy", n_threads=1)
    assert tree(cache) == WHOLE


def test_a_mirror_is_asked_where_the_first_address_has_nothing(
    toy, server, installer, cache, monkeypatch
):
    first = dataclasses.replace(
        toy.files[0], url=f"{server.url}/gone", mirrors=(f"{server.url}/first.bin",)
    )
    model = dataclasses.replace(toy, files=(first, toy.files[1]))
    monkeypatch.setitem(REMOTE_MODELS, "toy", model)
    fetch("toy", installer=installer)
    server.files.clear()
    remove("toy")
    with pytest.raises(DownloadError, match=r"/gone: .* 404 .*; and .*/first\.bin: .* 404 "):
        fetch("toy", installer=never)


def test_an_unknown_name_is_answered_with_the_nearest(cache):
    with pytest.raises(UsageError, match=r"'mdx-net-c' can be fetched \(did you mean 'mdx-net-"):
        fetch("mdx-net-c", installer=never)


def test_a_published_checkpoint_becomes_a_model_that_separates(server, cache, shared, monkeypatch):
    from stemlight.weights.importing import install_remote

    model = REMOTE_MODELS["tdc-vocals-2020"]
    (file,) = model.files
    server.files["/x.pt"] = shared(f"weights/{file.name}").read_bytes()
    moved = dataclasses.replace(file, url=f"{server.url}/x.pt")
    model = dataclasses.replace(model, files=(moved,))
    monkeypatch.setitem(REMOTE_MODELS, model.name, model)
    card = read_card(fetch(model.name, installer=install_remote))
    assert (card.name, card.licence, card.n_parameters) == (model.name, "MIT", model.n_parameters)
    assert (card.training_data, card.scores) == (model.training_data, model.scores)
    stems = stemlight.load(model.name, n_threads=1)(np.zeros((2, 1000), np.float32))
    assert set(stems) == {"vocals"}


# Nothing half


def test_what_cannot_be_downloaded_leaves_nothing(toy, server, cache):
    del server.files["/second.bin"]
    server.files["/first.bin"] = b"wrong"
    with pytest.raises(DownloadError, match="its sha256 is"):
        fetch("toy", installer=never)
    assert tree(cache) == []
    assert not (cache / "downloads").exists()


def test_a_cut_download_is_continued_by_the_next_fetch(toy, server, installer, cache):
    server.manners.cuts = [30_000, 0, 0]
    with pytest.raises(DownloadError, match="run it again to go on"):
        fetch("toy", installer=never)
    assert cached_models() == {}
    fetch("toy", installer=installer)
    assert server.ranges[3:] == ["bytes=30000-", None]
    assert tree(cache) == WHOLE


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError),
        (WeightsError("these are no weights"), WeightsError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_failed_installation_leaves_no_model_and_keeps_what_was_downloaded(
    toy, server, installer, cache, error, expected
):
    def broken(model, files, folder):
        (folder / "card.json").write_text("half")
        raise error

    with pytest.raises(expected):
        fetch("toy", installer=broken)
    assert cached_models() == {}
    assert list((cache / "models").iterdir()) == []
    server.requests.clear()
    fetch("toy", installer=installer, offline=True)
    assert server.requests == []
    assert tree(cache) == WHOLE


def test_an_installer_that_makes_no_model_is_refused(toy, cache):
    with pytest.raises(WeightsError, match=r"is no model: it has no card\.json"):
        fetch("toy", installer=lambda model, files, folder: None)
    assert cached_models() == {}


def test_leftovers_of_a_killed_process_are_removed_and_never_listed(toy, installer, cache):
    left = cache / "models" / ".toy.making-abc" / "toy"
    left.mkdir(parents=True)
    (left / "card.json").write_text("{}")
    (left.parent / "card.json").write_text("{}")
    assert cached_models() == {}
    fetch("toy", installer=installer)
    assert tree(cache) == WHOLE


def test_a_cache_that_cannot_be_written_is_named(toy, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STEMLIGHT_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot write .*file.*; .*STEMLIGHT_CACHE"):
        fetch("toy", installer=never)


def test_two_that_fetch_at_once_download_and_install_once(toy, server, installer, cache):
    server.before_answer = lambda: time.sleep(0.1)
    waited, installed, folders = [], [], []

    def install(model, files, folder):
        installed.append(1)
        installer(model, files, folder)

    def work() -> None:
        folders.append(fetch("toy", installer=install, on_wait=lambda: waited.append(1)))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders == [cache / "models" / "toy"] * 2
    assert (len(installed), len(waited), len(server.requests)) == (1, 1, 2)
    assert tree(cache) == WHOLE


# Ensembles


@pytest.fixture
def ensemble(tiny_model, tmp_path):
    """A model of two members."""
    folder = tmp_path / "ensemble"
    for member in ("one", "two"):
        shutil.copytree(tiny_model, folder / member)
    tiny = read_card(tiny_model)
    card = EnsembleCard(
        name="ensemble",
        summary="Two.",
        licence="MIT",
        band_limit_hz=tiny.band_limit_hz,
        training_data=tiny.training_data,
        members=("one", "two"),
        stems=tiny.sources,
        files={"one/card.json": file_facts(folder / "one" / "card.json")},
    )
    write_card(card, folder)
    return folder


def test_all_files_of_the_members_belong_to_an_ensemble(ensemble):
    verify_model(ensemble)
    names = [f"{m}/model.{suffix}" for m in ("one", "two") for suffix in ("onnx", "safetensors")]
    assert sorted(model_files(ensemble)) == ["one/card.json", *names]
    (ensemble / "two" / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"two/model\.onnx is damaged"):
        verify_model(ensemble)


@pytest.mark.parametrize("member", [".", "..", "../other", "/etc", ""])
def test_members_lie_inside_of_their_ensemble(ensemble, member):
    write_card(dataclasses.replace(read_card(ensemble), members=(member,)), ensemble)
    with pytest.raises(WeightsError, match="no name of a member"):
        verify_model(ensemble)


# Offline


def test_offline_says_what_is_missing_and_asks_nobody(toy, server, cache):
    with pytest.raises(DownloadError) as raised:
        fetch("toy", installer=never, offline=True)
    assert str(raised.value) == (
        f"the model 'toy' is not in {cache} (first.bin, second.bin missing), and --offline "
        "forbids to download it; run without it: stemlight models fetch toy"
    )
    assert server.requests == []


# Archives


@pytest.fixture
def archive(tmp_path):
    def make(**members):
        path = tmp_path / "x.zip"
        path.write_bytes(zipped(**members))
        return path

    return make


def extract(archive, place, member="first", content=FIRST, n_bytes=None):
    return extract_member(archive, member, place, expected=sha256(digest(content)), n_bytes=n_bytes)


def test_a_member_is_found_by_path_or_by_a_name_that_occurs_once(archive, tmp_path):
    path = archive(a__first=FIRST, b__second=SECOND, b__first=b"another")
    assert extract(path, tmp_path / "out", "a/first").read_bytes() == FIRST
    assert extract(path, tmp_path / "out", "second", SECOND).read_bytes() == SECOND
    with pytest.raises(DownloadError, match=r"has 2 files 'first', expected 1; .* a/first"):
        extract(path, tmp_path / "none")
    with pytest.raises(DownloadError, match="has 0 files 'third'"):
        extract(path, tmp_path / "none", "third")


def test_paths_of_an_archive_lead_nowhere(archive, tmp_path):
    place = tmp_path / "inside" / "deep" / "out"
    path = archive(**{"..__..__first": FIRST})
    assert extract(path, place).read_bytes() == FIRST
    assert tree(tmp_path) == ["inside/deep/out", "x.zip"]


def test_no_more_is_unpacked_than_is_expected(archive, tmp_path):
    bomb = archive(first=bytes(50_000_000))
    with pytest.raises(DownloadError, match="first is unpacked 50000000 bytes, expected 100000"):
        extract(bomb, tmp_path / "out", n_bytes=100_000)
    # An archive that lies about the size: 1000 bytes in its directory, many in the stream.
    lying = bomb.read_bytes().replace((50_000_000).to_bytes(4, "little"), bytes([232, 3, 0, 0]))
    bomb.write_bytes(lying)
    with pytest.raises(DownloadError):
        extract(bomb, tmp_path / "out", n_bytes=1000)
    assert tree(tmp_path) == ["x.zip"]


@pytest.mark.parametrize("content", [b"", b"no zip", zipped(first=FIRST)[:-30]])
def test_a_damaged_archive_is_one_line(tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DownloadError, match=r"x\.zip is no sound zip archive: "):
        extract(tmp_path / "x.zip", tmp_path / "out")
    assert tree(tmp_path) == ["x.zip"]


def test_a_wrong_member_is_refused_and_its_archive_removed(toy, server, cache):
    server.files["/both.zip"] = zipped(first=FIRST, second=SECOND[::-1])
    with pytest.raises(DownloadError, match=r"second in both\.zip is not the expected file: its"):
        fetch("packed", installer=never)
    assert [path.rpartition("/")[2] for path in tree(cache)] == ["first.bin"]


# The cache itself


def test_the_cache_is_the_users_unless_the_environment_names_another(monkeypatch, tmp_path):
    monkeypatch.delenv("STEMLIGHT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "stemlight"
    monkeypatch.setenv("STEMLIGHT_CACHE", str(tmp_path / "elsewhere"))
    assert cache_folder() == tmp_path / "elsewhere"
    assert cached_models() == {}
    assert not (tmp_path / "elsewhere").exists()


def test_a_removed_model_is_gone_with_its_downloads(toy, server, installer, cache):
    fetch("toy", installer=installer)
    remove("toy")
    assert tree(cache) == []
    with pytest.raises(UsageError, match=r"the model 'toy' is not in .*; models there are none"):
        remove("toy")
    server.manners.cuts = [30_000, 0, 0]
    with pytest.raises(DownloadError):
        fetch("toy", installer=never)
    assert len(tree(cache)) == 2  # the part and its version
    remove("toy")
    assert tree(cache) == []


@pytest.mark.parametrize("name", ["../toy", ".", "", "/etc"])
def test_only_names_of_models_are_removed(cache, name):
    (cache / "models").mkdir(parents=True)
    with pytest.raises(UsageError):
        remove(name)


def test_a_model_inside_the_package_comes_before_one_of_the_cache(cache, tiny_model):
    shutil.copytree(tiny_model, cache / "models" / DEFAULT_MODEL)
    assert find_model(DEFAULT_MODEL) == embedded_models()[DEFAULT_MODEL]
    shutil.copytree(tiny_model, cache / "models" / "mine")
    assert find_model("mine") == cache / "models" / "mine"


def test_finding_a_model_imports_no_torch_and_no_web_client():
    code = (
        "import sys\n"
        "from stemlight.weights.catalogue import find_model\n"
        "find_model('stemlight')\n"
        "print({'torch', 'urllib.request', 'huggingface_hub'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_the_installer_gets_the_registered_model(toy, installer, cache):
    got: list[RemoteModel] = []

    def install(model, files, folder):
        got.append(model)
        assert list(files) == ["first.bin", "second.bin"]
        installer(model, files, folder)

    hub.fetch("toy", installer=install)
    assert got == [toy]

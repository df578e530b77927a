"""Downloads from a server that misbehaves in each known way."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from stemlight.errors import DownloadError, OutputError
from stemlight.weights import downloads
from stemlight.weights.checksums import git_blob_id, sha256
from stemlight.weights.downloads import download
from stemlight.weights.locks import exclusive

from .misbehaving import Server

CONTENT = bytes(range(256)) * 4000  # a megabyte
HASH = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]

FETCH = (
    "import sys\n"
    "from pathlib import Path\n"
    "from stemlight.weights.checksums import sha256\n"
    "from stemlight.weights.downloads import download\n"
    "url, path, digest = sys.argv[1:4]\n"
    "download(url, Path(path), expected=sha256(digest))\n"
)


@pytest.fixture
def server():
    with Server() as server:
        server.files["/model.bin"] = CONTENT
        yield server


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """No waiting, and no proxy of whoever runs the tests."""
    monkeypatch.setattr(downloads, "_PAUSES_SECONDS", (0.0, 0.0, 0.0))
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "downloads" / "model.bin"


def get(server, place, *, digest=HASH, path="/model.bin", **options):
    expected = None if digest is None else sha256(digest)
    return download(f"{server.url}{path}", place, expected=expected, **options)


def left(place):
    return sorted(path.name for path in place.parent.iterdir())


def leave_part(place, content, version=None):
    place.parent.mkdir(parents=True)
    place.with_name("model.bin.part").write_bytes(content)
    if version is not None:
        place.with_name("model.bin.part.version").write_text(version)


# All goes well


def test_a_file_is_placed_whole_and_alone(server, place):
    assert get(server, place, n_bytes=len(CONTENT)) == place
    assert place.read_bytes() == CONTENT
    assert left(place) == ["model.bin"]
    assert server.ranges == [None]
    assert server.headers[0]["User-Agent"].startswith("stemlight/")


def test_progress_rises_to_the_whole_size(server, place):
    told = []
    get(server, place, on_progress=lambda n_done, n_total: told.append((n_done, n_total)))
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)


def test_a_file_without_announced_length_is_downloaded(server, place):
    server.manners.says_length = False
    told = []
    get(server, place, on_progress=lambda n_done, n_total: told.append(n_total))
    assert place.read_bytes() == CONTENT
    assert set(told) == {None}


def test_a_file_that_is_there_is_not_downloaded_again(server, place):
    get(server, place)
    get(server, place)
    assert len(server.requests) == 1


def test_a_damaged_file_that_is_there_is_downloaded_again(server, place):
    place.parent.mkdir()
    place.write_bytes(OTHER)
    get(server, place)
    assert place.read_bytes() == CONTENT


def test_a_git_blob_id_is_verified_as_git_makes_it(server, place):
    server.files["/hello"] = b"hello\n"  # git hash-object says ce013625...
    hello = git_blob_id("ce013625030ba8dba906f756967f9e9ca394464a")
    assert download(f"{server.url}/hello", place, expected=hello).read_bytes() == b"hello\n"
    place.unlink()
    with pytest.raises(DownloadError, match=r"its git blob id is [0-9a-f]{40}, expected ce013625"):
        download(f"{server.url}/model.bin", place, expected=hello)


def test_redirections_are_followed(server, place):
    server.manners.redirects = {"/old": "/older?x=1", "/older?x=1": "/model.bin"}
    get(server, place, path="/old")
    assert place.read_bytes() == CONTENT


# Resuming


def test_a_cut_connection_is_resumed_where_it_ended(server, place):
    server.manners.cuts = [300_000, 1, 200_000]
    get(server, place)
    assert place.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=300001-", "bytes=500001-"]


def test_more_cuts_than_tries_are_overcome_while_each_brings_something(server, place):
    server.manners.cuts = [50_000] * 15
    get(server, place)
    assert place.read_bytes() == CONTENT


def test_what_an_earlier_call_left_is_continued(server, place):
    leave_part(place, CONTENT[:400_000])
    told = []
    get(server, place, on_progress=lambda n_done, n_total: told.append(n_done))
    assert place.read_bytes() == CONTENT
    assert server.ranges == ["bytes=400000-"]
    assert told[0] == 400_000
    assert left(place) == ["model.bin"]


def test_a_server_that_ignores_ranges_sends_all_again(server, place):
    leave_part(place, CONTENT[:400_000])
    server.manners.honours_range = False
    get(server, place)
    assert place.read_bytes() == CONTENT


def test_a_whole_part_is_verified_without_a_request_if_its_size_is_known(server, place):
    leave_part(place, CONTENT)
    get(server, place, n_bytes=len(CONTENT))
    assert server.requests == []
    assert left(place) == ["model.bin"]


def test_a_whole_part_is_finished_by_416(server, place):
    leave_part(place, CONTENT)
    get(server, place)
    assert server.ranges == [f"bytes={len(CONTENT)}-"]
    assert place.read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_started_again_after_416(server, place):
    leave_part(place, CONTENT + b"more")
    get(server, place)
    assert place.read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) + 4}-", None]


@pytest.mark.parametrize("ignores_if_range", [False, True])
def test_a_file_that_changed_between_tries_is_started_again(server, place, ignores_if_range):
    server.files["/model.bin"] = OTHER
    server.manners.cuts = [300_000]
    server.manners.ignores_if_range = ignores_if_range

    def change() -> None:
        if len(server.requests) == 2:
            server.files["/model.bin"] = CONTENT

    server.before_answer = change
    get(server, place)
    assert place.read_bytes() == CONTENT
    assert left(place) == ["model.bin"]


def test_a_damaged_part_is_found_by_the_hash_of_the_whole_and_started_again(server, place):
    leave_part(place, OTHER[:400_000])
    get(server, place)
    assert place.read_bytes() == CONTENT
    assert server.ranges == ["bytes=400000-", None]


def test_without_hash_and_version_nothing_is_resumed(server, place):
    leave_part(place, OTHER[:400_000])
    server.manners.has_tag = False
    get(server, place, digest=None)
    assert place.read_bytes() == CONTENT
    assert server.ranges == [None]


def test_without_hash_a_part_of_the_same_version_is_resumed(server, place):
    server.manners.tag = '"v1"'
    leave_part(place, CONTENT[:400_000], '"v1"')
    get(server, place, digest=None)
    assert place.read_bytes() == CONTENT
    assert server.ranges == ["bytes=400000-"]


# Giving up


def test_a_connection_that_is_cut_again_and_again_leaves_a_part_that_can_be_continued(
    server, place
):
    server.manners.cuts = [300_000, 0, 0, 0, 0]
    with pytest.raises(DownloadError) as raised:
        get(server, place)
    assert str(raised.value) == (
        f"cannot download {server.url}/model.bin: the connection was cut after 300000 of 1024000 "
        "bytes, 4 times; 0.3 MB are kept, run it again to go on"
    )
    assert left(place) == ["model.bin.part", "model.bin.part.version"]
    get(server, place)
    assert server.ranges[-1] == "bytes=300000-"
    assert left(place) == ["model.bin"]


def test_a_server_without_ranges_that_always_cuts_is_given_up(server, place):
    server.manners.honours_range = False
    server.manners.cuts = [300_000] * 99
    with pytest.raises(DownloadError, match="4 times"):
        get(server, place)
    assert len(server.requests) == 4  # the first alone brought something new


def test_a_stalled_connection_is_resumed(server, place):
    server.manners.stalls = 1
    get(server, place, timeout_seconds=0.1)
    assert place.read_bytes() == CONTENT


def test_a_server_that_stays_silent_is_given_up(server, place):
    server.manners.stalls = 99
    with pytest.raises(DownloadError, match="no answer in time, 4 times; try later"):
        get(server, place, timeout_seconds=0.05)
    assert not place.exists()


def test_a_server_error_that_passes_is_waited_for(server, place):
    server.manners.statuses = [500, 503, 429]
    get(server, place)
    assert place.read_bytes() == CONTENT


def test_a_server_error_that_stays_is_named(server, place):
    server.manners.every_status = 500
    with pytest.raises(DownloadError) as raised:
        get(server, place)
    assert str(raised.value) == (
        f"cannot download {server.url}/model.bin: the server answered 500 Internal Server Error, "
        "4 times; try later"
    )
    assert left(place) == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "404 Not Found; the file is no longer there; update stemlight or report it"),
        (403, "403 Forbidden; it, or a proxy before it, forbids it"),
        (418, "418 I'm a Teapot; try later or report it"),
        (204, "204 No Content instead of the file; try later"),
    ],
)
def test_an_answer_that_stays_is_one_line_after_one_request(server, place, status, words):
    server.manners.every_status = status
    with pytest.raises(DownloadError) as raised:
        get(server, place)
    assert str(raised.value) == (
        f"cannot download {server.url}/model.bin: the server answered {words}"
    )
    assert len(server.requests) == 1
    assert left(place) == []


def test_a_redirection_in_circles_is_one_line(server, place):
    server.manners.redirects = {"/a": "/b", "/b": "/a"}
    with pytest.raises(DownloadError, match=r"answered 302 .*infinite loop") as raised:
        get(server, place, path="/a")
    assert "\n" not in str(raised.value)


def test_a_redirection_leads_to_no_file_of_this_machine(server, place, tmp_path):
    (tmp_path / "secret").write_bytes(CONTENT)
    server.manners.redirects = {"/a": (tmp_path / "secret").as_uri()}
    with pytest.raises(DownloadError):
        get(server, place, path="/a")
    with pytest.raises(DownloadError, match="only http and https addresses"):
        download((tmp_path / "secret").as_uri(), place, expected=None)
    assert not place.exists()


def test_a_wrong_hash_names_both_and_leaves_nothing(server, place):
    server.files["/model.bin"] = OTHER
    with pytest.raises(DownloadError) as raised:
        get(server, place)
    found = hashlib.sha256(OTHER).hexdigest()
    assert f"its sha256 is {found}, expected {HASH}; nothing was kept" in str(raised.value)
    assert left(place) == []


def test_a_wrong_size_is_refused_before_anything_is_written(server, place):
    server.files["/model.bin"] = b"<html>log in</html>"
    with pytest.raises(DownloadError, match=r"has 19 bytes, expected 1024000; a proxy or a login"):
        get(server, place, n_bytes=len(CONTENT))
    assert left(place) == []


def test_a_length_longer_than_the_file_is_a_cut(server, place):
    server.manners.announced_bytes = len(CONTENT) + 10
    server.manners.honours_range = False
    with pytest.raises(DownloadError, match="cut after 1024000 of 1024010 bytes"):
        get(server, place, digest=None)
    assert not place.exists()


def test_a_refused_connection_names_the_host_and_what_to_do(place):
    with Server() as server:
        url = server.url
    with pytest.raises(DownloadError) as raised:
        download(f"{url}/x", place, expected=None)
    assert str(raised.value) == (
        f"cannot reach {url.removeprefix('http://')}: Connection refused; check the connection and "
        "the proxy (https_proxy, no_proxy), or use models that are here with --offline"
    )


def test_a_host_that_nobody_knows_is_one_line(place, monkeypatch):
    def unknown(*_):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(
        DownloadError, match=r"nowhere\.invalid: Name or service not known; .*--offline"
    ):
        download("http://nowhere.invalid/x", place, expected=None)


def test_a_server_that_goes_away_is_waited_for_and_then_given_up(place):
    with Server() as server:
        server.files["/model.bin"] = CONTENT
        server.manners.cuts = [300_000]
        server.before_answer = lambda: threading.Thread(target=server._server.server_close).start()
        with pytest.raises(DownloadError, match=r"0\.3 MB are kept, run it again to go on"):
            get(server, place)


# The disk


def test_a_full_disk_is_told_with_its_numbers_and_leaves_nothing(server, place, monkeypatch):
    def full(file, chunk):
        file.write(chunk[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(downloads, "_write_all", full)
    with pytest.raises(OutputError) as raised:
        get(server, place)
    assert f"cannot write {place}.part: No space left on device (1.0 MB more are needed, " in str(
        raised.value
    )
    assert "MB are free); free some space, or set STEMLIGHT_CACHE" in str(raised.value)
    assert left(place) == []


def test_a_file_larger_than_the_free_space_is_refused_at_once(server, place, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"1\.0 MB more are needed, 0\.5 MB are free"):
        get(server, place)
    assert left(place) == []


def test_a_limit_of_the_system_is_met_as_a_full_disk(server, place):
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9**6, 9**6))\n{FETCH}"
    ran = subprocess.run(
        [sys.executable, "-c", limited, f"{server.url}/model.bin", str(place), HASH],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OutputError: cannot write" in ran.stderr.splitlines()[-1]
    assert "File too large" in ran.stderr
    assert left(place) == []


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/model\.bin: "):
        get(server, tmp_path / "file" / "model.bin")


# Proxies, signals, others


def test_the_proxy_of_the_environment_is_used_but_not_for_hosts_without(server, place, monkeypatch):
    with Server() as proxy:
        proxy.files["/model.bin"] = CONTENT
        monkeypatch.setenv("http_proxy", proxy.url)
        download("http://weights.example/model.bin", place, expected=sha256(HASH))
        assert [path for path, _ in proxy.requests] == ["http://weights.example/model.bin"]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        get(server, place.with_name("direct"))
        assert len(proxy.requests) == 1
        assert len(server.requests) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_process_leaves_only_what_can_be_resumed(server, place, number):
    server.manners.cuts = [300_000, 0]
    server.manners.stall_seconds = 60

    def stall_later() -> None:
        server.manners.stalls = len(server.requests) > 1

    server.before_answer = stall_later
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH, f"{server.url}/model.bin", str(place), HASH],
        stderr=subprocess.DEVNULL,
    )
    give_up = time.monotonic() + 30
    while len(server.requests) < 2:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    process.send_signal(number)
    process.wait(timeout=30)
    names = {"model.bin.part", "model.bin.part.version"}
    if number == signal.SIGKILL:  # the lock's file is there, but nobody holds it
        names.add(".model.bin.lock")
    assert set(left(place)) == names
    server.manners.stalls, server.manners.cuts, server.before_answer = 0, [], lambda: None
    get(server, place)
    assert server.ranges[-1] == "bytes=300000-"
    assert left(place) == ["model.bin"]


def test_two_processes_download_once(server, place):
    server.before_answer = lambda: time.sleep(0.5)
    command = [sys.executable, "-c", FETCH, f"{server.url}/model.bin", str(place), HASH]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(timeout=30) for process in processes] == [0, 0]
    assert len(server.requests) == 1
    assert place.read_bytes() == CONTENT
    assert left(place) == ["model.bin"]


def test_a_lock_is_held_by_one_at_a_time_and_leaves_no_file(tmp_path):
    lock, held, waited = tmp_path / "folder" / ".lock", [], []

    def work() -> None:
        for _ in range(20):
            with exclusive(lock, on_wait=lambda: waited.append(1)):
                held.append(1)
                assert len(held) == 1
                time.sleep(0.001)
                held.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waited
    assert list(lock.parent.iterdir()) == []


def test_importing_the_downloader_needs_no_numpy():
    code = (
        "import sys, stemlight.weights.downloads\n"
        "assert not {'numpy', 'torch', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""A real server, a real browser, and a short real song."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import soundfile

from ...conftest import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "feelings.flac"
SONG_SECONDS = 6
_START_SECONDS = 60

_FLAGS = [
    "--autoplay-policy=no-user-gesture-required",
    "--disable-audio-output",  # a clock that runs without a sound card
    *(["--no-sandbox"] if os.getuid() == 0 else []),  # which Chromium refuses to root
]


def _chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """`stemlight serve` as a process, which can be killed and started again."""

    folder: Path
    options: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "stemlight", "serve", "--no-open", "--threads", "1"),
            *("--port", str(self.port), "--data-folder", str(self.folder), *self.options),
        ]
        log = (self.folder.parent / "server.log").open("a")
        with log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        assert self.process.stdout is not None
        deadline = time.monotonic() + _START_SECONDS
        line = self.process.stdout.readline()
        assert "serves" in line, (self.folder.parent / "server.log").read_text()
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        pytest.fail("the server does not listen")

    def end(self, kind: signal.Signals = signal.SIGTERM) -> None:
        """End the server; SIGKILL takes its workers along, as a lost machine would."""
        if self.process is None:
            return
        if kind == signal.SIGKILL:
            os.killpg(self.process.pid, kind)
        else:
            self.process.send_signal(kind)
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None


@pytest.fixture(scope="session")
def start_server(tmp_path_factory) -> Iterator[Callable[..., Server]]:
    pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
    servers = []

    def start(*options: str) -> Server:
        server = Server(tmp_path_factory.mktemp("studio") / "data", list(options))
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.end()


@pytest.fixture(scope="session")
def server(start_server) -> Server:
    return start_server()


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed (pip install playwright)"
    )
    path = _chromium()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


class Watch:
    """What must not happen on any page: scripts that fail, policy broken, calls elsewhere."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def page(self, page, url: str) -> None:
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("console", self._hear)
        page.on("dialog", self._refuse)
        page.on("request", lambda request: self._look(request.url, url))

    def _hear(self, message) -> None:
        # An answer of 4xx or a lost connection is told by the page, and by the console, too.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(message.text)

    def _refuse(self, dialog) -> None:
        if dialog.type != "beforeunload":
            self.problems.append(f"dialog: {dialog.message}")
        dialog.accept()

    def _look(self, address: str, url: str) -> None:
        if not address.startswith((url, "blob:", "data:")):
            self.problems.append(f"call to {address}")


@pytest.fixture
def open_context(chromium) -> Iterator[Callable[..., object]]:
    """Make a browser of a new person; at the end nothing may have gone wrong in any page."""
    watch, contexts = Watch(), []

    def make(url: str, **options):
        context = chromium.new_context(accept_downloads=True, **options)
        context.set_default_timeout(45_000)
        context.on("page", lambda page: watch.page(page, url))
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()
    assert not watch.problems, "\n".join(watch.problems)


@pytest.fixture
def page(open_context, server):
    """Open the studio as a new person."""
    page = open_context(server.url).new_page()
    page.goto(server.url)
    page.wait_for_selector(".drop")
    return page


@pytest.fixture(scope="session")
def song(tmp_path_factory) -> Path:
    """The first seconds of the example, `feelings.flac`."""
    path = tmp_path_factory.mktemp("songs") / "feelings.flac"
    samples, rate_hz = soundfile.read(EXAMPLE, dtype="int16")
    soundfile.write(path, samples[: SONG_SECONDS * rate_hz], rate_hz)
    return path


@pytest.fixture(scope="session")
def long_song(tmp_path_factory) -> Path:
    """Minutes of music, which are not separated at once."""
    path = tmp_path_factory.mktemp("songs") / "long.wav"
    samples, rate_hz = soundfile.read(EXAMPLE, dtype="int16")
    with soundfile.SoundFile(path, "w", rate_hz, 2) as file:
        for _ in range(30):
            file.write(samples)
    return path


@pytest.fixture(scope="session")
def finished(chromium, server, song) -> dict:
    """The cookies and the address of a person's song that is separated."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(server.url)
    page.set_input_files("#files", song)
    page.wait_for_selector(".row[data-state=done]", timeout=60_000)
    href = page.get_attribute(".row[data-state=done] a", "href")
    state = context.storage_state()
    context.close()
    return {"state": state, "url": f"{server.url}{href}"}


@pytest.fixture
def mixer(open_context, server, finished):
    """Open the mixer of the separated song; its waveforms are drawn."""
    page = open_context(server.url, storage_state=finished["state"]).new_page()
    page.goto(finished["url"])
    page.wait_for_selector(".lane:nth-of-type(4) canvas")
    return page

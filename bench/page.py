"""What a long song costs in the studio's page: memory of its process, and how soon it plays.

    python -m bench.page [--minutes 60] [--format flac]

The example is repeated to that length, a stand-in for the model makes each stem equal to the song,
and Chromium opens it through Playwright. Linux only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import soundfile
from playwright.sync_api import Page, sync_playwright

from stemlight.serve.engine import Separated, Tell
from stemlight.serve.settings import ServeSettings

_EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "feelings.flac"
_SERVER = """
import sys
from stemlight.serve.running import run_server
from stemlight.serve.settings import ServeSettings
settings = ServeSettings.from_json(sys.argv[1])
run_server(settings, opens_browser=False, announce=lambda address: print(address, flush=True))
"""
_FLAGS = ["--autoplay-policy=no-user-gesture-required", "--disable-audio-output"]
_N_JUMPS = 5
_TIMEOUT_MS = 600_000


class CopyingEngine:
    """Gives the song as each stem, as it is."""

    def separate(
        self, song: Path, folder: Path, options: Mapping[str, Any], tell: Tell
    ) -> Separated:
        """Link the song; it is of the format that is asked."""
        info = soundfile.info(song)
        folder.mkdir(parents=True)
        names = ("vocals", "drums", "bass", "other")
        stems = {name: folder / f"{name}.{options['format']}" for name in names}
        for path in stems.values():
            os.link(song, path)
        return Separated(
            stems=stems,
            duration_seconds=info.frames / info.samplerate,
            sample_rate_hz=info.samplerate,
            n_channels=info.channels,
        )


def open_engine(settings: ServeSettings, device: str) -> CopyingEngine:
    """Return the engine that `ServeSettings.engine` names."""
    return CopyingEngine()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--format", choices=("wav", "flac"), default="flac")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        song = _song(folder / f"song.{chosen.format}", chosen.minutes)
        engine = "bench.page:open_engine"
        settings = ServeSettings(data_folder=folder / "data", port=0, engine=engine)
        command = [sys.executable, "-c", _SERVER, settings.to_json()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                _measure(server.stdout.readline().strip(), song, chosen.format)
            finally:
                server.terminate()


def _song(path: Path, minutes: float) -> Path:
    samples, rate_hz = soundfile.read(_EXAMPLE, dtype="int16")
    n_left = round(60 * minutes * rate_hz)
    with soundfile.SoundFile(path, "w", rate_hz, samples.shape[1], subtype="PCM_16") as file:
        while n_left > 0:
            file.write(samples[:n_left])
            n_left -= len(samples)
    return path


def _measure(address: str, song: Path, format: str) -> None:
    before = set(_renderers())
    with sync_playwright() as driver:
        flags = [*_FLAGS, *(["--no-sandbox"] if os.getuid() == 0 else [])]
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_page()
        page.set_default_timeout(_TIMEOUT_MS)
        page.goto(address)
        page.select_option("#format", f"{format}/16")
        page.set_input_files("#files", song)
        page.wait_for_selector(".row[data-state=done]")

        def tell(what: str, seconds: float) -> None:
            page.wait_for_timeout(1000)
            memory = max(size for pid, size in _renderers().items() if pid not in before)
            print(f"{what}: {seconds:.1f} s, then {memory / 1e6:.0f} MB")

        def open_mixer() -> None:
            page.click(".row a")
            page.wait_for_selector(".lane:nth-of-type(4) canvas")

        tell("waveforms", _seconds(open_mixer))
        tell("sound", _seconds(lambda: _until_it_moves(page, "Space")))
        for number in range(_N_JUMPS):
            strip = page.locator(".lane[data-stem=bass] .strip")
            width = (strip.bounding_box() or {"width": 0.0})["width"]
            place = {"x": width * (number + 0.5) / _N_JUMPS, "y": 20.0}
            strip.click(position={"x": place["x"], "y": place["y"]})
            tell(f"jump {number + 1}", _seconds(lambda: _until_it_moves(page, None)))
        tell("original", _seconds(lambda: _until_it_moves(page, "o")))
        browser.close()


def _until_it_moves(page: Page, key: str | None) -> None:
    if key is not None:
        page.keyboard.press(key)
    page.wait_for_timeout(100)
    place = float(page.input_value(".position"))
    page.wait_for_function(
        f"() => document.querySelector('.position').value > {place + 0.05}", polling=20
    )


def _seconds(act: Callable[[], None]) -> float:
    started = time.monotonic()
    act()
    return time.monotonic() - started


def _renderers() -> dict[int, int]:
    """Return the resident bytes of the processes that show pages."""
    sizes = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (folder / "cmdline").read_bytes():
                pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
                sizes[int(folder.name)] = pages * os.sysconf("SC_PAGE_SIZE")
        except OSError:  # it ended
            continue
    return sizes


if __name__ == "__main__":
    main()

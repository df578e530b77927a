"""The pages about the server: what they name exists, and what they show works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stemlight.serve.app import create_app
from stemlight.serve.settings import ServeSettings

from .material import FAKE_ENGINE, REPOSITORY, Process, write_song

GUIDE = (REPOSITORY / "docs/serve.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8765"


def blocks(title: str) -> list[str]:
    """Return the blocks of code of a section of the guide."""
    section = GUIDE.partition(f"# {title}\n")[2].partition("\n##")[0]
    return re.findall(r"```\w*\n(.*?)```", section, re.DOTALL)


@pytest.fixture
def serve(tmp_path):
    """Start a server of a fast engine; in the folder of the test lies a song of any kind."""
    write_song(tmp_path / "song.wav", seconds=2.0, rate_hz=44100).rename(tmp_path / "song.mp3")
    started = []

    def start(seconds: float = 0.0, **changes) -> Process:
        settings = ServeSettings(
            data_folder=tmp_path / "data", port=0, engine=FAKE_ENGINE, **changes
        )
        started.append(Process(settings, STEMLIGHT_FAKE_SECONDS=str(seconds)))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_every_threat_names_tests_that_exist():
    text = (REPOSITORY / "docs/threats.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    known = set(re.findall(r"^def (test_\w+)\(", "\n".join(sources), re.MULTILINE))
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        named = set(re.findall(r"`(test_\w+)`", row))
        assert named, row
        assert named <= known, named - known


def test_the_guide_names_options_and_addresses_that_exist():
    command = (REPOSITORY / "src/stemlight/cli/serving.py").read_text(encoding="utf-8")
    options = {word.replace("-", "_") for word in re.findall(r"--([a-z][a-z-]+[a-z])", GUIDE)}
    options -= {"no_open", "path"}  # the first is of --open/--no-open, the second of another tool
    parameters = set(re.findall(r"^    (\w+): Annotated", command, re.MULTILINE))
    assert options <= parameters, options - parameters
    paths = create_app(ServeSettings(data_folder=Path("unused"))).openapi()["paths"]
    for given in re.findall(r"\$server(/[\w./$-]*)", GUIDE):
        path = given.replace("$id", "{job_id}").replace("vocals.flac", "{file_name}")
        path = path.replace("/vocals", "/{name}")
        assert f"/api/v1{path}" in paths, path


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_calls_of_the_guide_work_in_their_order(serve, tmp_path):
    server = serve(seconds=1.0, allow_folders=(tmp_path,))
    (text,) = blocks("For programs")
    text = text.replace("\\\n", "").replace(ADDRESS, server.address)
    text = text.replace("/music/song.flac", str(tmp_path / "song.mp3"))
    first, *commands = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert first == f"server={server.address}/api/v1"

    def call(command: str, job_id: str) -> str:
        ran = subprocess.run(
            ["bash", "-c", command.replace("curl ", "curl -sS --fail-with-body ", 1)],
            env={**os.environ, "server": f"{server.address}/api/v1", "id": job_id},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
        return ran.stdout

    assert len(commands) == 14
    uploaded, named = (json.loads(call(command, ""))["id"] for command in commands[:2])
    told = {c: call(c, named if "cancel" in c else uploaded) for c in commands[2:]}
    (events,) = (told[command] for command in told if "/events" in command)
    assert '"state":"done"' in events.splitlines()[-2]
    saved = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert saved == {
        *("jar", "song.mp3", "piece.wav", "song.zip", "song.stem.mp4"),
        *("song - vocals.flac", "song - mix.mp3"),
    }


def test_the_generated_client_of_the_guide_separates_a_song(serve, tmp_path):
    pytest.importorskip("openapi_python_client", reason="`make` installs it for this test")
    key = "correct-horse-battery-staple"
    server = serve(api_keys=(key,))
    shell, example = blocks("A generated client")
    (generate,) = (line for line in shell.splitlines() if line.startswith("openapi-python-client"))
    with server.client() as client:
        description = client.get("/api/v1/openapi.json").text
    (tmp_path / "stemlight.json").write_text(description, encoding="utf-8")
    example = example.replace(ADDRESS, server.address).replace("KEY", key)

    def run(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": "stemlight-client"}
        ran = subprocess.run(
            [sys.executable, *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    run("-m", *generate.replace("-", "_", 2).split())
    assert run("-c", example) == "song.mp3 done None\n"
    for stem in ("vocals", "drums", "bass", "other"):
        assert (tmp_path / f"{stem}.flac").read_bytes()[:4] == b"fLaC"

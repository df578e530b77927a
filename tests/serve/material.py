"""Songs, a server without workers in this process, and servers as processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import numpy as np
import soundfile
import uvicorn
from fastapi.testclient import TestClient

from stemlight.serve.app import create_app
from stemlight.serve.engine import make_engine
from stemlight.serve.running import PatientProtocol
from stemlight.serve.settings import ServeSettings
from stemlight.serve.studio import Studio
from stemlight.serve.worker import Worker

REPOSITORY = Path(__file__).resolve().parents[2]
API = "/api/v1"
FAKE_ENGINE = "bench.fake_engine:open_engine"
RATE_HZ = 8000


def write_song(path: Path, *, seconds: float = 0.5, peak: float = 0.5, rate_hz: int = RATE_HZ):
    samples = np.random.default_rng(7).uniform(-peak, peak, (round(seconds * rate_hz), 2))
    samples[0] = peak
    soundfile.write(path, samples, rate_hz, subtype="PCM_24")
    return path


def form(path: Path, name: str = "song.wav", **options):
    files = {"file": (name, path.read_bytes())}
    return {"files": files, "data": {"options": json.dumps(options)}}


@dataclass
class Local:
    """A server in this process; its jobs are done when a test says so."""

    client: TestClient
    studio: Studio
    settings: ServeSettings

    def submit(self, song: Path, name: str = "song.wav", **options) -> dict:
        answer = self.client.post(f"{API}/jobs", **form(song, name, **options))
        assert answer.status_code == 202, answer.text
        return answer.json()

    def work(self) -> bool:
        engine = make_engine(self.settings, "cpu")
        return Worker(self.settings, self.studio.store, engine).run_one()

    def done(self, song: Path, name: str = "song.wav", **options) -> dict:
        job = self.submit(song, name, **options)
        assert self.work()
        ended = self.get(job["id"])
        assert ended["state"] == "done", ended["message"]
        return ended

    def get(self, job_id: str) -> dict:
        return self.client.get(f"{API}/jobs/{job_id}").json()


@contextlib.contextmanager
def local_server(folder: Path, **changes):
    settings = ServeSettings(
        **{"data_folder": folder, "devices": (), "engine": FAKE_ENGINE, **changes}
    )
    app = create_app(settings)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield Local(client, app.state.studio, settings)


@contextlib.contextmanager
def listening_server(settings: ServeSettings):
    """A real listener in a thread of this process; gives its application and its address."""
    app = create_app(settings)
    config = uvicorn.Config(app, port=0, http=PatientProtocol, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield app, server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join()


SERVE = """
import sys
from stemlight.serve.running import run_server
from stemlight.serve.settings import ServeSettings
settings = ServeSettings.from_json(sys.argv[1])
run_server(settings, opens_browser=False, announce=lambda address: print(address, flush=True))
"""


class Process:
    """A server with workers, which can be killed and started again."""

    def __init__(self, settings: ServeSettings, **environment: str) -> None:
        self._settings = settings
        self.data_folder = settings.data_folder
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", SERVE, self._settings.to_json()]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=self._environment, cwd=REPOSITORY
        )
        self.address = self.process.stdout.readline().strip().rstrip("/")
        assert self.address, "the server did not start"

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers=headers, timeout=30)

    def worker_pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        tasks = children.parent.parent.glob("*/children")
        return [int(pid) for task in tasks for pid in task.read_text().split()]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=20)
            self.process.stdout.close()


def wait_until(is_true, *, seconds: float = 30.0):
    deadline = time.monotonic() + seconds
    while not (found := is_true()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)
    return found

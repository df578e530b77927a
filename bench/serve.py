"""How a server bears load: many clients that submit and ask, and many jobs without growth.

    python -m bench.serve [--clients 100] [--seconds 120] [--jobs 1000]

Everything happens on this machine, through the loopback device, with an engine that separates
nothing (`bench.fake_engine`): what is measured is the server alone. Linux only.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile

from stemlight.serve.settings import ServeSettings

_REPOSITORY = Path(__file__).resolve().parent.parent
_SERVER = """
import sys
from stemlight.serve.running import run_server
from stemlight.serve.settings import ServeSettings
settings = ServeSettings.from_json(sys.argv[1])
run_server(settings, opens_browser=False, announce=lambda address: print(address, flush=True))
"""
_API = "/api/v1"
_PAUSE_SECONDS = 0.5  # of a client between two questions, as a page would make


def _song() -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 2))
    soundfile.write(file, samples, 8000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _form(song: bytes) -> tuple[bytes, dict[str, str]]:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    return head + song + b"\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}


class _Server:
    """A server in a process of its own."""

    def __init__(self, folder: Path) -> None:
        settings = ServeSettings(
            data_folder=folder,
            port=0,
            engine="bench.fake_engine:open_engine",
            queue_length=2000,
            jobs_per_client=2000,
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, settings.to_json()],
            stdout=subprocess.PIPE,
            text=True,
            cwd=_REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().strip().rstrip("/").rpartition(":")[2])

    def facts(self) -> dict[str, float]:
        """Return memory and open files of the server and of its worker."""
        found = {}
        children = (
            int(pid)
            for task in Path(f"/proc/{self._process.pid}/task").iterdir()
            for pid in (task / "children").read_text().split()
        )
        for name, pid in [("server", self._process.pid), *(("worker", pid) for pid in children)]:
            status = Path(f"/proc/{pid}/status").read_text()
            kilobytes = int(status.partition("VmRSS:")[2].split()[0])
            found[f"{name} MB"] = kilobytes / 1000
            found[f"{name} open files"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return found

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


class _Client:
    """One client with a cookie and a connection of its own."""

    def __init__(self, port: int, number: int) -> None:
        self._port = port
        self._cookie = {"Cookie": f"stemlight_client={number:032x}"}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Send one request; connections that the server closed while idle are made anew."""
        for is_last in (False, True):
            started = time.perf_counter()
            try:
                self._connection.request(method, _API + path, body, {**self._cookie, **headers})
                answer = self._connection.getresponse()
                content = answer.read()
            except (http.client.HTTPException, ConnectionError):
                self._connection.close()
                if is_last:
                    raise
                continue
            self.latencies.append(time.perf_counter() - started)
            self.statuses[answer.status] += 1
            return answer.status, content
        raise AssertionError("the second try returns or raises")

    def run(self, until: float, song: bytes) -> None:
        """Submit a song, ask until it is done, fetch a stem, begin again."""
        body, headers = _form(song)
        while time.perf_counter() < until:
            status, content = self.ask("POST", "/jobs", body, **headers)
            if status != 202:
                time.sleep(_PAUSE_SECONDS)
                continue
            job = json.loads(content)
            while job["state"] in ("queued", "running") and time.perf_counter() < until:
                time.sleep(_PAUSE_SECONDS)
                job = json.loads(self.ask("GET", f"/jobs/{job['id']}")[1])
            if job["state"] == "done":
                self.ask("GET", job["stems"][0]["url"].removeprefix(_API))


def _load(server: _Server, n_clients: int, seconds: float) -> None:
    song = _song()
    clients = [_Client(server.port, number + 1) for number in range(n_clients)]
    started = time.perf_counter()
    threads = [
        threading.Thread(target=client.run, args=(started + seconds, song)) for client in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    latencies = np.array([latency for client in clients for latency in client.latencies])
    statuses = sum((client.statuses for client in clients), Counter[int]())
    median, high = np.percentile(latencies, [50, 99])
    print(f"{n_clients} clients, {elapsed:.0f} s: {len(latencies)} requests,")
    print(f"  {len(latencies) / elapsed:.1f} a second; {statuses[202] / elapsed:.2f} jobs a second")
    print(
        f"  latency: median {median * 1e3:.0f} ms, 99 % below {high * 1e3:.0f} ms, "
        f"worst {latencies.max() * 1e3:.0f} ms"
    )
    print(f"  answers by status: {dict(sorted(statuses.items()))}")
    print(f"  {_told(server.facts())}")


def _growth(server: _Server, n_jobs: int) -> None:
    client = _Client(server.port, 10**6)
    body, headers = _form(_song())
    print(f"{n_jobs} jobs, each deleted when it is done:")
    for number in range(n_jobs + 1):
        if number in (n_jobs // 10, n_jobs // 2, n_jobs):
            print(f"  after {number:5d}: {_told(server.facts())}")
        if number < n_jobs:
            job = json.loads(client.ask("POST", "/jobs", body, **headers)[1])
            while job["state"] in ("queued", "running"):
                time.sleep(0.02)
                job = json.loads(client.ask("GET", f"/jobs/{job['id']}")[1])
            assert job["state"] == "done", job["message"]
            client.ask("DELETE", f"/jobs/{job['id']}")


def _told(facts: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.0f}" for name, value in facts.items())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--jobs", type=int, default=1000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = _Server(Path(folder))
        try:
            if chosen.clients:
                _load(server, chosen.clients, chosen.seconds)
            if chosen.jobs:
                _growth(server, chosen.jobs)
        finally:
            server.stop()


if __name__ == "__main__":
    main()

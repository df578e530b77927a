"""Servers and workers as processes: a real song, kills at any moment, crashes, the command."""

from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlight.serve.database import connect
from stemlight.serve.settings import ServeSettings
from stemlight.serve.store import Store

from .material import API, FAKE_ENGINE, Process, form, wait_until, write_song


@pytest.fixture
def serve(tmp_path):
    """Start servers that end with the test."""
    started = []

    def start(*, environment=None, **changes) -> Process:
        chosen = {"data_folder": tmp_path / "data", "port": 0, "lease_seconds": 2.0, "threads": 1}
        process = Process(ServeSettings(**{**chosen, **changes}), **(environment or {}))
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


def submit(client, song, **options) -> dict:
    answer = client.post(f"{API}/jobs", **form(song, **options))
    assert answer.status_code == 202, answer.text
    return answer.json()


def ended(client, job_id: str) -> dict | None:
    job = client.get(f"{API}/jobs/{job_id}").json()
    return job if job["state"] not in ("queued", "running") else None


def test_a_real_song_becomes_stems_that_the_library_makes_too(serve, tmp_path):
    import stemlight

    song = write_song(tmp_path / "song.wav", seconds=2.0, rate_hz=44100)
    server = serve()
    with server.client() as client:
        job = submit(client, song, format="wav", bit_depth="float", stems=["vocals", "drums"])
        with client.stream("GET", f"{API}/jobs/{job['id']}/events") as events:
            told = [line for line in events.iter_lines() if line.startswith("data: ")]
        assert '"state":"done"' in told[-1]
        done = client.get(f"{API}/jobs/{job['id']}").json()
        expected = stemlight.separate(song, sources=["vocals", "drums"])
        for stem in done["stems"]:
            path = tmp_path / f"{stem['name']}.wav"
            path.write_bytes(client.get(stem["url"]).content)
            samples, rate_hz = soundfile.read(path)
            assert rate_hz == 44100
            same = expected[stem["name"]].samples.T
            np.testing.assert_allclose(samples, same, atol=1e-6)


def test_a_running_job_is_cancelled_within_seconds_and_the_next_one_begins(serve, song):
    server = serve(engine=FAKE_ENGINE, environment={"STEMLIGHT_FAKE_SECONDS": "20"})
    with server.client() as client:
        first, second = submit(client, song), submit(client, song)

        def state(job):
            return client.get(f"{API}/jobs/{job['id']}").json()["state"]

        wait_until(lambda: state(first) == "running")
        asked = time.monotonic()
        assert client.post(f"{API}/jobs/{first['id']}/cancel").status_code == 200
        wait_until(lambda: state(first) == "cancelled")
        wait_until(lambda: state(second) == "running")
        assert time.monotonic() - asked < 10  # half of what the job takes
        assert client.delete(f"{API}/jobs/{second['id']}").status_code == 204
        assert client.get(f"{API}/health").json()["status"] == "ok"


def test_progress_is_told_while_a_job_runs(serve, song):
    server = serve(engine=FAKE_ENGINE, environment={"STEMLIGHT_FAKE_SECONDS": "2"})
    with server.client() as client:
        job = submit(client, song)
        seen = []

        def look():
            now = client.get(f"{API}/jobs/{job['id']}").json()
            seen.append((now["progress"], now["seconds_left"]))
            return now["state"] == "done"

        wait_until(look)
    values = [progress for progress, _ in seen]
    assert values == sorted(values)
    assert any(0.1 < progress < 0.94 for progress in values)
    assert any(0 < (left or 0) <= 2 for _, left in seen)


def test_a_song_that_crashes_its_worker_fails_after_three_times_and_others_are_done(
    serve, song, tmp_path
):
    server = serve(engine=FAKE_ENGINE)
    loud = write_song(tmp_path / "loud.wav", peak=0.9999)
    with server.client() as client:
        bad, good = submit(client, loud), submit(client, song)
        failed = wait_until(lambda: ended(client, bad["id"]))
        assert failed["state"] == "failed"
        assert failed["message"] == "its worker crashed 3 times; the song may be damaged"
        assert wait_until(lambda: ended(client, good["id"]))["state"] == "done"
        assert "stemlight_worker_restarts 3.0" in client.get("/metrics").text


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")
def test_a_song_that_needs_more_memory_than_its_worker_may_have_fails_alone(serve, song, tmp_path):
    bomb = tmp_path / "silence.flac"  # 200 kB, of which the engine makes 850 MB
    with soundfile.SoundFile(bomb, "w", 44100, 2) as file:
        for _ in range(20 * 60):
            file.write(np.zeros((44100, 2), np.int16))
    server = serve(engine=FAKE_ENGINE, max_memory="500M")
    with server.client() as client:
        bad, good = submit(client, bomb), submit(client, song)
        (worker,) = wait_until(server.worker_pids)
        failed = wait_until(lambda: ended(client, bad["id"]))
        assert failed["state"] == "failed"
        assert failed["message"].startswith("the server has not enough memory for this song; take")
        assert wait_until(lambda: ended(client, good["id"]))["state"] == "done"
        assert server.worker_pids() == [worker]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such wish")
def test_where_memory_runs_out_linux_ends_workers_before_the_server(serve):
    server = serve(engine=FAKE_ENGINE)
    (worker,) = wait_until(server.worker_pids)

    def badness(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    wait_until(lambda: badness(worker) > badness(server.process.pid))


def test_a_killed_worker_is_replaced_and_its_job_is_done(serve, song):
    server = serve(engine=FAKE_ENGINE, environment={"STEMLIGHT_FAKE_SECONDS": "1"})
    with server.client() as client:
        job = submit(client, song)
        wait_until(lambda: client.get(f"{API}/jobs/{job['id']}").json()["state"] == "running")
        (worker,) = server.worker_pids()
        os.kill(worker, signal.SIGKILL)
        assert wait_until(lambda: ended(client, job["id"]))["state"] == "done"
        assert server.worker_pids() != [worker]


def test_workers_end_with_a_killed_server(serve):
    server = serve(engine=FAKE_ENGINE)
    (worker,) = wait_until(server.worker_pids)
    server.kill()
    wait_until(lambda: not _lives(worker))


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_terminated_server_leaves_no_process_and_gives_its_job_back(serve, song, tmp_path):
    server = serve(engine=FAKE_ENGINE, environment={"STEMLIGHT_FAKE_SECONDS": "30"})
    with server.client() as client:
        job = submit(client, song)
        wait_until(lambda: client.get(f"{API}/jobs/{job['id']}").json()["state"] == "running")
    (worker,) = server.worker_pids()
    server.stop()
    assert not _lives(worker)
    store = Store(connect(f"sqlite:///{tmp_path / 'data' / 'jobs.sqlite'}"))
    assert (store.get(job["id"]).state, store.get(job["id"]).n_crashes) == ("queued", 0)
    store.close()


@pytest.mark.parametrize("n_kills", [2, pytest.param(24, marks=pytest.mark.long)])
def test_killed_at_any_moment_every_job_ends_in_exactly_one_result(serve, song, n_kills):
    chance = random.Random(11)
    server = serve(
        engine=FAKE_ENGINE,
        jobs_per_client=100,
        lease_seconds=0.5,
        most_crashes=50,
        environment={"STEMLIGHT_FAKE_SECONDS": "0.15"},
    )
    client_cookie = {"Cookie": f"stemlight_client={'c' * 32}"}
    accepted = []
    for number in range(n_kills):
        with server.client(**client_cookie) as client:
            accepted += [submit(client, song)["id"] for _ in range(3)]
            time.sleep(chance.uniform(0.0, 0.8))
            if number % 2 and (pids := server.worker_pids()):
                os.kill(pids[0], signal.SIGKILL)
                continue
        server.kill()
        server.start()
    with server.client(**client_cookie) as client:
        jobs = wait_until(lambda: _all_ended(client), seconds=60)
        assert collections.Counter(job["id"] for job in jobs) == collections.Counter(accepted)
        assert {job["state"] for job in jobs} == {"done"}
        folder = server.data_folder / "jobs"
        for job in jobs:
            results = [path for path in (folder / job["id"]).iterdir() if path.is_dir()]
            assert len(results) == 1
            assert len(list((results[0] / "stems").iterdir())) == 4
            for stem in job["stems"]:
                assert len(client.get(stem["url"]).content) == stem["size_bytes"]


def test_a_server_whose_jobs_are_in_postgresql_does_them(serve, song, postgres):
    server = serve(engine=FAKE_ENGINE, database=postgres())
    with server.client() as client:
        job = submit(client, song)
        assert wait_until(lambda: ended(client, job["id"]))["state"] == "done"
    assert not (server.data_folder / "jobs.sqlite").exists()


def _all_ended(client) -> list | None:
    jobs = client.get(f"{API}/jobs").json()
    return jobs if all(job["state"] not in ("queued", "running") for job in jobs) else None


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "stemlight", "serve", "--no-open", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_serves_and_a_second_one_is_told_why_not(serve, tmp_path):
    data = tmp_path / "data"
    server = serve(engine=FAKE_ENGINE)
    port = server.address.rpartition(":")[2]
    ran = command("--data-folder", data, "--port", "0")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"error: another server uses {data}; end it")
    ran = command("--data-folder", tmp_path / "other", "--port", port)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("error: the server cannot listen on 127.0.0.1")
    assert "Traceback" not in ran.stderr


def test_the_command_refuses_wrong_options_in_a_line(tmp_path, capfd):
    from stemlight.cli import app

    for arguments, line in [
        (("--allow-folder", tmp_path / "no"), "is no folder; make it first"),
        (("--cors-origin", "*"), "--cors-origin must be one origin"),
        (("--model", "nope"), "no model 'nope'"),
        (("--database", "mysql://x"), "jobs are kept in sqlite or postgresql"),
        (("--api-key-file", tmp_path / "no"), "cannot be read"),
        (("--max-memory", "much"), "--max-memory must be a size such as 800M"),
        (("--max-memory", "9M"), "--max-memory 9M is less than the "),
    ]:
        words = ["serve", "--no-open", "--data-folder", tmp_path / "data", *arguments]
        with pytest.raises(SystemExit) as exited:
            app([str(word) for word in words], prog_name="stemlight")
        error = capfd.readouterr().err
        assert exited.value.code == 2, error
        assert line in error
        assert error.count("\n") == 1


def test_without_the_extra_the_command_names_it(monkeypatch, tmp_path, capfd):
    from stemlight.cli import app

    monkeypatch.setitem(sys.modules, "fastapi", None)
    for name in [name for name in sys.modules if name.startswith("stemlight.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit) as exited:
        app(["serve", "--no-open", "--data-folder", str(tmp_path)], prog_name="stemlight")
    assert exited.value.code == 1
    assert capfd.readouterr().err == (
        "error: stemlight serve needs fastapi, which is not installed; "
        "run: pip install 'stemlight[serve]'\n"
    )

"""What every request passes; `docs/threats.md` names these tests."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
import soundfile

from stemlight.errors import UsageError
from stemlight.serve.running import PatientProtocol
from stemlight.serve.security import CONTENT_SECURITY_POLICY, Keys, read_keys
from stemlight.serve.settings import MAIN_ENGINE, ServeSettings

from .material import API, form, listening_server, local_server

KEYS = ("first-key-0123456789", "other-key-0123456789")


@pytest.fixture
def keyed(tmp_path):
    with local_server(tmp_path / "data", api_keys=KEYS) as server:
        yield server


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("path", ["/", f"{API}/health", f"{API}/jobs/x", "/nowhere", "/metrics"])
def test_every_answer_carries_the_strict_policy(local, path):
    headers = local.client.get(path).headers
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY


def test_names_that_were_bound_to_this_address_are_refused(local):
    for host in ("evil.example", "evil.example:8765", "localhost.evil.example", "", "[", "127.1"):
        answer = local.client.get(f"{API}/jobs", headers={"Host": host})
        assert answer.status_code == 403, host
        assert answer.json()["error"]["code"] == "unknown_host"
    for host in ("localhost:8765", "127.0.0.1", "[::1]:80", "192.168.1.7:8765", "LOCALHOST"):
        assert local.client.get(f"{API}/jobs", headers={"Host": host}).status_code == 200, host


def test_an_allowed_name_is_answered(tmp_path):
    with local_server(tmp_path / "data", allowed_hosts=("studio.example",)) as local:
        answer = local.client.get(f"{API}/jobs", headers={"Host": "studio.example:443"})
        assert answer.status_code == 200


def test_pages_of_other_sites_can_neither_submit_nor_read(local, song):
    foreign = {"Origin": "https://evil.example"}
    answer = local.client.post(f"{API}/jobs", headers=foreign, **form(song))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
    for origin in ("null", "http://127.0.0.1:9", "http://"):
        headers = {"Origin": origin}
        assert local.client.post(f"{API}/jobs", headers=headers, **form(song)).status_code == 403
    answer = local.client.get(f"{API}/jobs", headers=foreign)
    assert "access-control-allow-origin" not in answer.headers
    own = {"Origin": "http://127.0.0.1"}
    assert local.client.post(f"{API}/jobs", headers=own, **form(song)).status_code == 202


def test_an_allowed_origin_may_read_and_no_other(tmp_path):
    allowed = "https://studio.example"
    with local_server(tmp_path / "data", cors_origins=(allowed,)) as local:
        answer = local.client.get(f"{API}/models", headers={"Origin": allowed})
        assert answer.headers["access-control-allow-origin"] == allowed
        assert "access-control-allow-credentials" not in answer.headers
        answer = local.client.get(f"{API}/models", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers


def test_cookies_are_kept_from_scripts_and_from_other_sites(local):
    cookie = local.client.get(f"{API}/jobs").headers["set-cookie"]
    assert cookie.startswith("stemlight_client=")
    assert "HttpOnly; SameSite=Strict" in cookie
    assert "set-cookie" not in local.client.get(f"{API}/jobs").headers


def test_a_client_cookie_that_was_not_made_here_is_replaced(local):
    for value in ("x", "A" * 32, "0" * 33, "../../etc"):
        local.client.cookies.clear()
        answer = local.client.get(f"{API}/jobs", headers={"Cookie": f"stemlight_client={value}"})
        assert answer.headers["set-cookie"].startswith("stemlight_client=")


def test_without_a_key_nothing_but_the_page_and_the_health_is_told(keyed, song):
    for path in ("/jobs", "/models", "/options", "/jobs/events", f"/jobs/{'0' * 32}/stems.zip"):
        answer = keyed.client.get(f"{API}{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_needed")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert keyed.client.post(f"{API}/jobs", **form(song)).status_code == 401
    assert keyed.client.get("/metrics").status_code == 401
    for path in ("/", f"{API}/health", f"{API}/openapi.json"):
        assert keyed.client.get(path).status_code == 200
    for wrong in ("", KEYS[0][:-1], KEYS[0] + "x", "é"):
        header = {"Authorization": f"Bearer {wrong}".encode()}
        assert keyed.client.get(f"{API}/jobs", headers=header).status_code == 401


def test_each_key_is_a_client_of_its_own(keyed, song):
    answer = keyed.client.post(f"{API}/jobs", headers=bearer(KEYS[0]), **form(song))
    job = answer.json()["id"]
    assert keyed.client.get(f"{API}/jobs/{job}", headers=bearer(KEYS[0])).status_code == 200
    assert keyed.client.get(f"{API}/jobs/{job}", headers=bearer(KEYS[1])).status_code == 404


def test_a_session_stands_for_its_key_and_cannot_be_made_up(keyed):
    assert keyed.client.post(f"{API}/session", json={"key": "wrong"}).status_code == 401
    answer = keyed.client.post(f"{API}/session", json={"key": KEYS[0]})
    assert answer.status_code == 204
    assert KEYS[0] not in answer.headers["set-cookie"]
    assert keyed.client.get(f"{API}/jobs").status_code == 200
    value = keyed.client.cookies["stemlight_session"]
    keyed.client.cookies.clear()
    name, until, signature = value.split(".")
    for forged in (f"{name}.{int(until) + 9}.{signature}", f"{name}.{until}.{'0' * 64}", "", "a.b"):
        headers = {"Cookie": f"stemlight_session={forged}"}
        assert keyed.client.get(f"{API}/jobs", headers=headers).status_code == 401


def test_sessions_end(monkeypatch):
    keys = Keys(KEYS)
    value = keys.session_for(KEYS[0])
    assert keys.owner_of_session(value) == keys.owner_of(KEYS[0])
    later = time.time() + 31 * 86400
    monkeypatch.setattr("stemlight.serve.security.time.time", lambda: later)
    assert keys.owner_of_session(value) is None


def test_keys_that_could_be_guessed_are_refused(tmp_path):
    path = tmp_path / "keys"
    path.write_text("# mine\n\n" + "\n".join(KEYS) + "\n")
    assert read_keys(path) == KEYS
    path.write_text("short\n")
    with pytest.raises(UsageError, match="has 5 letters, but 16 or more"):
        read_keys(path)
    path.write_text("# none\n")
    with pytest.raises(UsageError, match="holds no key"):
        read_keys(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_keys(tmp_path / "absent")


def test_markup_in_names_stays_text(local, song):
    name = "<img src=x onerror=alert(1)>.wav"
    job = local.submit(song, name)
    answer = local.client.get(f"{API}/jobs/{job['id']}")
    assert answer.json()["name"] == name
    assert answer.headers["content-type"] == "application/json"
    events = local.studio.hub
    assert events.n_listeners == 0


def test_a_name_cannot_start_a_line_in_an_event_or_a_log(local, song):
    job = local.submit(song, 'x\r\nevent: job\r\ndata: {"id":1}.wav')
    assert job["name"] == 'x event: job data: {"id":1}.wav'


def test_uploads_beyond_the_limit_are_refused_whatever_they_announce(tmp_path, song):
    with local_server(tmp_path / "data", max_upload_bytes=1000) as local:
        answer = local.client.post(f"{API}/jobs", **form(song))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")

        def pieces():
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            for _ in range(100):
                yield b"0" * 100

        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = local.client.post(f"{API}/jobs", content=pieces(), headers=kind)
        assert answer.status_code == 413
        assert "more than 1000 bytes" in answer.json()["error"]["message"]
        assert local.studio.files.stored_ids() == []
        assert (local.studio.n_uploads, local.studio.reserved_bytes) == (0, 0)


def test_json_of_any_size_is_not_read(local, song):
    job = local.done(song)
    huge = b'{"format": "' + b"x" * 100_000 + b'"}'
    kind = {"Content-Type": "application/json"}
    for path in ("/jobs/path", f"/jobs/{job['id']}/mix", "/session"):
        answer = local.client.post(f"{API}{path}", content=huge, headers=kind)
        assert answer.status_code == 413, answer.text


def test_options_of_any_size_are_not_kept(local, song):
    answer = local.client.post(
        f"{API}/jobs", files={"file": ("a", b"x")}, data={"options": " " * 20_000}
    )
    assert answer.status_code == 413


def test_jobs_beyond_the_queue_or_a_clients_share_are_refused_with_a_time(tmp_path, song):
    with local_server(tmp_path / "data", queue_length=3, jobs_per_client=2) as local:
        for _ in range(2):
            local.submit(song)
        answer = local.client.post(f"{API}/jobs", **form(song))
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_jobs")
        assert answer.headers["retry-after"] == "30"
        local.client.cookies.clear()
        local.submit(song)
        local.client.cookies.clear()
        answer = local.client.post(f"{API}/jobs", **form(song))
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
        assert "3 jobs wait, and no more than 3 may" in answer.json()["error"]["message"]
        assert len(local.studio.files.stored_ids()) == 3


def test_a_header_that_claims_hours_fills_no_disk(local, song):
    content = bytearray(song.read_bytes())
    claimed = (1_500_000_000).to_bytes(4, "little")
    size = content.index(b"data") + 4
    content[size : size + 4] = claimed
    song.write_bytes(content)
    job = local.submit(song)
    local.work()
    assert local.get(job["id"])["state"] == "failed"
    assert local.studio.store.used_bytes() == len(content)


def test_a_small_file_of_much_silence_is_refused_by_its_length(tmp_path):
    path = tmp_path / "silence.flac"
    soundfile.write(path, np.zeros(8000 * 600), 8000)
    assert path.stat().st_size < 50_000
    with local_server(tmp_path / "data", max_seconds=60, engine=MAIN_ENGINE) as local:
        job = local.submit(path)
        local.work()
        failed = local.get(job["id"])
        assert failed["message"].startswith("song.wav lasts 600.0 s, but at most 60.0 s")
        assert local.studio.store.used_bytes() == path.stat().st_size


def test_songs_that_name_other_files_or_addresses_open_none(local, tmp_path):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(b"secret")
    for text in (
        f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n",
        "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n",
        f"ffconcat version 1.0\nfile '{secret}'\n",
        '<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    ):
        path = tmp_path / "list.m3u8"
        path.write_text(text)
        job = local.submit(path, "list.m3u8")
        local.work()
        failed = local.get(job["id"])
        assert failed["state"] == "failed"
        assert "is no audio" in failed["message"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"queue_length": 0}, "queue_length must be above 0, not 0"),
        ({"cors_origins": ("*",)}, "must be one origin such as"),
        ({"cors_origins": ("example.org",)}, "must be one origin such as"),
        ({"port": 70000}, "port must lie in 0..65535"),
        ({"models": ()}, "at least one model"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, changes, line):
    with pytest.raises(UsageError, match=line.replace("*", r"\*")):
        ServeSettings(data_folder=tmp_path, **changes)


@pytest.fixture
def listening(tmp_path, monkeypatch):
    """A real listener in a thread, with little patience."""
    monkeypatch.setattr(PatientProtocol, "idle_seconds", 0.3)
    settings = ServeSettings(
        data_folder=tmp_path / "data",
        devices=(),
        upload_idle_seconds=0.3,
        upload_least_bytes_per_second=100_000,
    )
    with listening_server(settings) as (_, address):
        yield address


def slowly(address, head: bytes, pieces: int = 0) -> bytes:
    """Send a part of a request, then a byte now and then; return what came back."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head)
        answer = b""
        try:
            for _ in range(pieces):
                time.sleep(0.1)
                connection.sendall(b"0")
            while received := connection.recv(4096):
                answer += received
        except ConnectionError:
            pass
        return answer


def test_connections_that_ask_for_nothing_are_closed(listening):
    started = time.monotonic()
    assert slowly(listening, b"") == b""
    assert slowly(listening, b"GET / HTTP/1.1\r\nHost: local", pieces=2) == b""
    head = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert slowly(listening, head).startswith(b"HTTP/1.1 200")
    assert slowly(listening, head + b"GET ", pieces=1).startswith(b"HTTP/1.1 200")
    assert time.monotonic() - started < 5


UPLOAD = (
    b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
)


def test_an_upload_that_stops_is_ended(listening):
    answer = slowly(listening, UPLOAD)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"nothing came for 0.3 s" in answer


def test_an_upload_that_drips_is_ended(listening):
    answer = slowly(listening, UPLOAD + b"--x\r\n", pieces=8)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408")


def test_broken_requests_harm_nobody(listening):
    for broken in (b"\0\0\0\0\r\n\r\n", b"GET", b"GET / HTTP/9\r\n\r\n", b"A" * 100_000):
        slowly(listening, broken)
    head = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert b'{"status":"ok"' in slowly(listening, head)

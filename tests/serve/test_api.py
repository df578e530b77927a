"""Jobs over HTTP, with the fast engine."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from stemlight.errors import OutputError

from .material import API, form, local_server, write_song


def error_of(answer, status: int) -> tuple[str, str]:
    assert answer.status_code == status, answer.text
    fault = answer.json()["error"]
    assert "\n" not in fault["message"]
    return fault["code"], fault["message"]


def test_a_submitted_song_waits_is_done_and_is_deleted_with_all_its_files(local, song):
    job = local.submit(song, format="flac", bit_depth="16")
    assert (job["state"], job["position"], job["stems"]) == ("queued", 1, [])
    assert local.work()
    done = local.get(job["id"])
    assert (done["state"], done["progress"], done["duration_seconds"]) == ("done", 1.0, 0.5)
    assert [stem["name"] for stem in done["stems"]] == ["vocals", "drums", "bass", "other"]
    folder = local.studio.files.folder(job["id"])
    assert folder.is_dir()
    assert local.client.delete(f"{API}/jobs/{job['id']}").status_code == 204
    assert not folder.exists()
    code, message = error_of(local.client.get(f"{API}/jobs/{job['id']}"), 404)
    assert code == "not_found"
    assert "GET /api/v1/jobs lists yours" in message


def test_the_location_of_a_new_job_leads_to_it(local, song):
    answer = local.client.post(f"{API}/jobs", **form(song))
    assert local.client.get(answer.headers["location"]).json()["id"] == answer.json()["id"]


def test_jobs_are_listed_newest_first_with_their_places(local, song):
    ids = [local.submit(song)["id"] for _ in range(3)]
    listed = local.client.get(f"{API}/jobs").json()
    assert [job["id"] for job in listed] == ids[::-1]
    assert [job["position"] for job in listed] == [3, 2, 1]


def test_another_client_sees_and_touches_nothing(local, song):
    job = local.done(song)
    local.client.cookies.clear()
    assert local.client.get(f"{API}/jobs").json() == []
    base = f"{API}/jobs/{job['id']}"
    for method, path in [
        ("GET", base),
        ("GET", f"{base}/events"),
        ("DELETE", base),
        ("POST", f"{base}/cancel"),
        ("GET", f"{base}/stems/vocals.wav"),
        ("GET", f"{base}/stems.zip"),
        ("GET", f"{base}/peaks/vocals"),
    ]:
        error_of(local.client.request(method, path), 404)
    assert local.studio.store.get(job["id"]).state == "done"


def test_a_waiting_job_is_cancelled_and_stays_in_the_list(local, song):
    job = local.submit(song)
    assert local.client.post(f"{API}/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    assert not local.work()
    code, message = error_of(local.client.post(f"{API}/jobs/{job['id']}/cancel"), 409)
    assert code == "conflict"
    assert message == "the job is cancelled and cannot be cancelled; DELETE removes it"


def test_what_is_no_song_fails_with_a_line_that_names_the_song_and_no_folder(local, tmp_path):
    path = tmp_path / "text"
    path.write_text("this is no sound")
    job = local.submit(path, "../../etc/pass\nwd.wav")
    assert job["name"] == "pass wd.wav"
    assert local.work()
    failed = local.get(job["id"])
    assert failed["state"] == "failed"
    assert failed["message"].startswith("pass wd.wav is no audio, or cut off or damaged")
    assert str(local.settings.data_folder) not in failed["message"]


def test_a_song_longer_than_allowed_fails_with_both_lengths(tmp_path, song):
    with local_server(tmp_path / "data", max_seconds=0.25, engine=REAL) as local:
        job = local.submit(song)
        local.work()
        message = local.get(job["id"])["message"]
    assert message.startswith("song.wav lasts 0.5 s, but at most 0.2 s are allowed")


REAL = "stemlight.serve.engine:open_engine"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"format": "wma"}, "format must be one of wav, flac"),
        ({"format": "flac", "bit_depth": "float"}, "flac holds 16 or 24 bits"),
        ({"bit_depth": "8"}, "bit_depth: Input should be '16', '24' or 'float'"),
        ({"model": "demucs"}, "no model 'demucs'; this server has stemlight"),
        ({"stems": ["vocal"]}, "has no stem 'vocal' (did you mean 'vocals'?)"),
        ({"stems": ["vocals"], "format": "stem.mp4"}, "stem.mp4 holds 4 stems, not 1"),
        ({"stems": ["vocals"], "complement": "drums"}, "complement 'drums' is taken"),
        ({"complement": "rest"}, "all stems were asked, so nothing is left"),
        ({"complement": "../x", "stems": ["vocals"]}, "complement: String should match"),
        ({"stem": ["vocals"]}, "stem: Extra inputs are not permitted"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_stored(local, song, options, line):
    code, message = error_of(local.client.post(f"{API}/jobs", **form(song, **options)), 422)
    assert code == "invalid"
    assert line in message
    assert local.studio.files.stored_ids() == []


def test_a_form_without_a_song_with_two_or_with_an_empty_one_is_refused(local, song):
    content = song.read_bytes()
    for files, line in [
        ([("options", (None, "{}"))], "has 0 files"),
        ([("file", ("a.wav", content)), ("file", ("b.wav", content))], "has 2 files"),
        ([("file", ("a.wav", b""))], "the song is empty (0 bytes)"),
        ([("song", ("a.wav", content))], "the form has no field 'song'"),
    ]:
        _, message = error_of(local.client.post(f"{API}/jobs", files=files), 422)
        assert line in message
    for body, kind, status in [
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x", 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"',
            "multipart/form-data; boundary=x",
            400,
        ),
        (b"abc", "multipart/form-data", 415),
        (b"abc", "text/plain", 415),
        (b"{}", "application/json", 415),
    ]:
        error_of(
            local.client.post(f"{API}/jobs", content=body, headers={"Content-Type": kind}), status
        )
    assert local.studio.files.stored_ids() == []


def test_a_song_below_an_allowed_folder_is_separated_where_it_lies(tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    song = write_song(folder / "here.wav")
    with local_server(tmp_path / "data", allow_folders=(folder,)) as local:
        answer = local.client.post(f"{API}/jobs/path", json={"path": str(song)})
        assert answer.status_code == 202, answer.text
        assert answer.json()["name"] == "here.wav"
        assert local.work()
        assert local.get(answer.json()["id"])["state"] == "done"
    assert song.exists()


def test_no_path_leads_out_of_the_allowed_folders(tmp_path, song):
    folder = tmp_path / "music"
    folder.mkdir()
    (folder / "link.wav").symlink_to(song)
    (folder / "out").symlink_to(tmp_path)
    with local_server(tmp_path / "data", allow_folders=(folder,)) as local:
        for path in [
            str(song),
            f"{folder}/../noise.wav",
            f"{folder}/link.wav",
            f"{folder}/out/noise.wav",
            "/etc/passwd",
            "noise.wav",
            f"file://{song}",
            "http://127.0.0.1/",
            f"{folder}/\0",
            str(folder),
            f"{folder}/absent",
        ]:
            answer = local.client.post(f"{API}/jobs/path", json={"path": path})
            code, message = error_of(answer, 403)
            assert code == "forbidden"
            assert message.startswith("the path names no file below an allowed folder")


def test_a_server_without_allowed_folders_takes_no_paths(local, song):
    code, message = error_of(local.client.post(f"{API}/jobs/path", json={"path": str(song)}), 403)
    assert (code, message[:27]) == ("forbidden", "this server takes no paths;")


def test_models_and_options_tell_what_may_be_asked(local):
    (model,) = local.client.get(f"{API}/models").json()
    assert (model["name"], model["is_default"]) == ("stemlight", True)
    assert set(model["sources"]) == {"vocals", "drums", "bass", "other"}
    options = local.client.get(f"{API}/options").json()
    formats = {entry["name"]: entry["bit_depths"] for entry in options["formats"]}
    assert formats["wav"] == ["24", "16", "float"]
    assert formats["flac"] == ["24", "16"]
    assert formats["mp3"] == formats["stem.mp4"] == []
    assert options["limits"]["jobs_per_client"] == 20
    assert options["expires_after_seconds"] == 86400


def test_events_give_the_present_state_first_and_end_with_the_job(local, song):
    job = local.done(song)
    with local.client.stream("GET", f"{API}/jobs/{job['id']}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = list(answer.iter_lines())
    assert lines[2] == "event: job"
    assert json.loads(lines[3].removeprefix("data: ")) == job
    assert local.studio.hub.n_listeners == 0


def test_a_complement_is_a_stem_like_the_others(local, song):
    job = local.done(song, stems=["vocals"], complement="no_vocals")
    assert [stem["name"] for stem in job["stems"]] == ["vocals", "no_vocals"]


def test_a_full_disk_quota_refuses_uploads_and_separations(tmp_path, song):
    with local_server(tmp_path / "data", quota_bytes=1000) as local:
        code, message = error_of(local.client.post(f"{API}/jobs", **form(song)), 507)
        assert code == "storage_full"
        assert "the server has room for 1000" in message
    with local_server(tmp_path / "more", quota_bytes=60_000) as local:
        job = local.submit(song)
        local.work()
        assert "may need 0 MB, but the server has" in local.get(job["id"])["message"]


def test_expired_results_say_so(tmp_path, song):
    with local_server(tmp_path / "data", expire_hours=1e-7) as local:
        job = local.done(song)
        local.studio.janitor.clean()
        expired = local.get(job["id"])
        assert (expired["state"], expired["stems"], expired["original"]) == ("expired", [], None)
        answer = local.client.get(f"{API}/jobs/{job['id']}/stems/vocals.wav")
        assert error_of(answer, 404)[1] == "the result has expired; submit the song again"
        assert not local.studio.files.folder(job["id"]).exists()


def test_files_of_nobody_are_swept_and_those_of_a_submission_are_not(local, song):
    job = local.submit(song)
    orphan, coming = "1" * 32, "2" * 32
    for name in (orphan, coming):
        local.studio.files.folder(name).mkdir()
        local.studio.files.incoming(name).write_bytes(b"x")
    with local.studio.janitor.submitting(coming):
        assert local.studio.janitor.sweep() == 1
        assert set(local.studio.files.stored_ids()) == {coming, job["id"]}
    assert local.studio.janitor.sweep() == 1


def test_jobs_and_results_survive_the_server(tmp_path, song):
    with local_server(tmp_path / "data") as local:
        done, waiting = local.done(song), local.submit(song)
        cookies = dict(local.client.cookies)
    with local_server(tmp_path / "data") as local:
        local.client.cookies.update(cookies)
        assert local.get(done["id"]) == done
        assert local.client.get(done["stems"][0]["url"]).status_code == 200
        assert local.work()
        assert local.get(waiting["id"])["state"] == "done"


def test_a_second_server_on_the_same_folder_is_refused(local):
    with (
        pytest.raises(OutputError, match="another server uses"),
        local_server(local.settings.data_folder),
    ):
        pass


def test_stems_add_up_to_the_original(local, song):
    job = local.done(song, format="wav", bit_depth="float")
    total = np.zeros(1)
    for stem in job["stems"]:
        path = song.with_name("stem.wav")
        path.write_bytes(local.client.get(stem["url"]).content)
        total = total + soundfile.read(path)[0]
    np.testing.assert_allclose(total, soundfile.read(song)[0], atol=1e-6)

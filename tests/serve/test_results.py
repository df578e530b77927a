"""What a finished job gives: files, players' versions, pictures, mixes."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import soundfile

from .material import API, RATE_HZ, local_server, write_song

OTHERS_MUTED = {name: {"muted": True} for name in ("drums", "bass", "other")}


def read(answer) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return soundfile.read(io.BytesIO(answer.content), always_2d=True)[0]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    with local_server(folder / "data") as local:
        local.song = write_song(folder / "noise.wav")
        local.job = local.done(local.song, 'Ünë "song"; x=.wav', format="flac")
        local.base = f"{API}/jobs/{local.job['id']}"
        yield local


def mix(served, **asked):
    return served.client.post(f"{served.base}/mix", json=asked)


def test_a_stem_is_given_in_ranges(served):
    url = served.job["stems"][0]["url"]
    whole = served.client.get(url)
    part = served.client.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert served.client.get(url, headers={"Range": "bytes=99999999-"}).status_code == 416
    assert len(whole.content) == served.job["stems"][0]["size_bytes"]


def test_a_download_is_named_after_the_song_and_the_name_cannot_end_the_header(served):
    answer = served.client.get(served.job["stems"][0]["url"], params={"download": 1})
    assert answer.headers["content-disposition"] == (
        'attachment; filename="_n_ _song__ x_ - vocals.flac"; '
        "filename*=UTF-8''%C3%9Cn%C3%AB%20%22song%22%3B%20x%3D%20-%20vocals.flac"
    )


@pytest.mark.parametrize(
    "path",
    [
        "stems/vocals.wav",
        "stems/piano.flac",
        "stems/..%2Foriginal.flac",
        "stems/%2e%2e/%2e%2e/song",
        "play/..%2F",
        "pieces/..%2F..%2Fsong?first=0&count=1",
        "peaks/..%2F..%2Fsong",
        "peaks/%2Fetc%2Fpasswd",
        "spectrogram/original.flac",
        "stems/vocals.flac%00",
    ],
)
def test_names_in_addresses_lead_to_stems_or_nowhere(served, path):
    assert served.client.get(f"{served.base}/{path}").status_code == 404


def test_the_zip_holds_the_stems_and_no_name_that_a_user_gave(served):
    answer = served.client.get(served.job["archive_url"])
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert archive.namelist() == ["vocals.flac", "drums.flac", "bass.flac", "other.flac"]
    vocals = served.client.get(served.job["stems"][0]["url"]).content
    assert archive.read("vocals.flac") == vocals


def test_the_original_plays_to_the_sample(served):
    played = read(served.client.get(served.job["original"]["url"]))
    np.testing.assert_allclose(played, soundfile.read(served.song)[0], atol=2**-15)
    same = served.client.get(f"{served.base}/play/original")
    assert same.headers["content-type"] == "audio/flac"


def test_lossy_stems_play_as_flac_of_their_length(tmp_path):
    song = write_song(tmp_path / "s.wav", rate_hz=44100)
    with local_server(tmp_path / "data") as local:
        job = local.done(song, format="mp3")
        answer = local.client.get(job["stems"][0]["play_url"])
        assert answer.headers["content-type"] == "audio/flac"
        assert len(read(answer)) >= 22050
        before = local.studio.store.used_bytes()
        local.client.get(job["stems"][0]["play_url"])
        assert local.studio.store.used_bytes() == before


def piece(served, url: str, first: int, count: int) -> np.ndarray:
    return read(served.client.get(url, params={"first": first, "count": count}))


def test_pieces_are_the_sound_itself_wherever_they_are_cut(served):
    for sound in (*served.job["stems"], served.job["original"]):
        whole = read(served.client.get(sound["url"]))
        pieces = [piece(served, sound["pieces_url"], first, 1000) for first in range(0, 5000, 1000)]
        assert [len(some) for some in pieces] == [1000, 1000, 1000, 1000, 0]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)
        np.testing.assert_array_equal(
            piece(served, sound["pieces_url"], 1234, 99), whole[1234:1333]
        )


@pytest.mark.parametrize("bit_depth", ["16", "24", "float"])
def test_pieces_have_the_depth_of_their_stem(tmp_path, song, bit_depth):
    with local_server(tmp_path / "data") as local:
        job = local.done(song, format="wav", bit_depth=bit_depth)
        stem = job["stems"][0]
        whole = read(local.client.get(stem["url"]))
        np.testing.assert_array_equal(piece(local, stem["pieces_url"], 0, 100_000), whole)


def test_pieces_of_lossy_stems_are_counted_at_the_songs_rate(tmp_path):
    song = write_song(tmp_path / "s.wav", rate_hz=44100)
    with local_server(tmp_path / "data") as local:
        job = local.done(song, format="opus")
        assert job["sample_rate_hz"] == 44100
        answer = local.client.get(job["stems"][0]["pieces_url"], params={"first": 0, "count": 9})
        assert soundfile.info(io.BytesIO(answer.content)).samplerate == 44100
        whole = piece(local, job["stems"][0]["pieces_url"], 0, 100_000)
        assert len(whole) == pytest.approx(22050, abs=2)


def test_a_piece_too_long_is_refused(served):
    url = served.job["stems"][0]["pieces_url"]
    for first, count in ((0, 2**21 + 1), (-1, 10), (0, 0), (2**41, 1)):
        answer = served.client.get(url, params={"first": first, "count": count})
        assert answer.status_code == 422


def test_peaks_hold_the_extremes_of_all_channels(served):
    samples = soundfile.read(served.song)[0]
    peaks = served.client.get(served.job["original"]["peaks_url"]).json()
    assert (peaks["samples_per_point"], peaks["sample_rate_hz"]) == (256, RATE_HZ)
    assert peaks["n_samples"] == len(samples)
    low, high = np.array(peaks["data"]).reshape(-1, 2).T
    assert len(low) == peaks["length"] == -(-len(samples) // 256)
    for index in range(len(low)):
        part = samples[256 * index : 256 * (index + 1)]
        assert abs(low[index] - 127 * part.min()) <= 0.51
        assert abs(high[index] - 127 * part.max()) <= 0.51


def test_binary_peaks_are_the_same_numbers(served):
    url = served.job["stems"][0]["peaks_url"]
    binary = served.client.get(url, params={"format": "binary"})
    numbers = np.frombuffer(binary.content, np.int8).tolist()
    peaks = served.client.get(url).json()
    assert numbers == peaks["data"]
    assert int(binary.headers["x-samples-per-point"]) == peaks["samples_per_point"]


def test_a_spectrogram_shows_a_tone_at_its_frequency(tmp_path):
    from matplotlib.image import imread

    rate_hz, tone_hz = 44100, 1000.0
    times = np.arange(2 * rate_hz) / rate_hz
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * tone_hz * times), rate_hz)
    with local_server(tmp_path / "data") as local:
        job = local.done(path)
        answer = local.client.get(job["original"]["spectrogram_url"])
    low_hz = float(answer.headers["x-frequency-low-hz"])
    high_hz = float(answer.headers["x-frequency-high-hz"])
    picture = imread(io.BytesIO(answer.content))[..., :3].sum(axis=2)
    row = int(picture.mean(axis=1).argmax())
    height = 1 - (row + 0.5) / len(picture)
    assert low_hz * (high_hz / low_hz) ** height == pytest.approx(tone_hz, rel=0.03)


def test_a_mix_of_all_stems_as_they_are_is_the_song(served):
    answer = mix(served, format="wav", bit_depth="float")
    np.testing.assert_allclose(read(answer), soundfile.read(served.song)[0], atol=1e-6)
    assert answer.headers["x-gain-db"] == "0.000"


def test_a_mix_obeys_gain_and_mute(served):
    stems = {
        "vocals": {"gain_db": -6.0},
        **{n: {"muted": True} for n in ("drums", "bass", "other")},
    }
    mixed = read(mix(served, stems=stems, bit_depth="float"))
    vocals = read(served.client.get(served.job["stems"][0]["url"]))
    np.testing.assert_allclose(mixed, vocals * 10 ** (-6 / 20), atol=1e-6)


def test_pan_moves_both_channels_to_one_side_as_browsers_do(served):
    stems = {"vocals": {"pan": -1.0}, **OTHERS_MUTED}
    mixed = read(mix(served, stems=stems, bit_depth="float"))
    vocals = read(served.client.get(served.job["stems"][0]["url"]))
    np.testing.assert_allclose(mixed[:, 0], vocals.sum(axis=1), atol=1e-6)
    np.testing.assert_allclose(mixed[:, 1], 0, atol=1e-6)


def test_a_mix_that_would_clip_is_lowered_and_says_by_how_much(served):
    answer = mix(served, stems={"vocals": {"gain_db": 24.0}}, bit_depth="16")
    assert float(answer.headers["x-gain-db"]) < -3
    assert 0.999 < np.abs(read(answer)).max() < 1


def test_mixes_leave_nothing_on_the_disk(served):
    made = served.studio.files.folder(served.job["id"])
    assert not [path for path in made.rglob("*") if path.name.startswith("part-")]


@pytest.mark.parametrize(
    ("asked", "status", "line"),
    [
        ({"stems": {"piano": {}}}, 404, "the job has no stem 'piano'; it has vocals"),
        ({"stems": {"../x": {}}}, 422, "should match pattern"),
        ({"stems": {"vocals": {"gain_db": 99}}}, 422, "less than or equal to 24"),
        ({"stems": {"vocals": {"pan": -2}}}, 422, "greater than or equal to -1"),
        ({"format": "exe"}, 422, "format must be one of"),
        ({"format": "flac", "bit_depth": "float"}, 422, "flac holds 16 or 24 bits"),
        (
            {"stems": OTHERS_MUTED | {"vocals": {"muted": True}}},
            422,
            "every stem is muted",
        ),
    ],
)
def test_a_wrong_mix_is_refused(served, asked, status, line):
    answer = mix(served, **asked)
    assert answer.status_code == status
    assert line in answer.json()["error"]["message"]


def test_a_stem_file_holds_the_song_and_four_stems(tmp_path):
    from stemlight.audio import probe

    song = write_song(tmp_path / "s.wav", rate_hz=44100)
    with local_server(tmp_path / "data") as local:
        job = local.done(song, format="stem.mp4")
        assert job["stems"][0]["url"].endswith("/vocals.flac")
        path = tmp_path / "x.stem.mp4"
        path.write_bytes(local.client.get(job["stem_mp4_url"]).content)
    assert [probe(path, stream=stream).sample_rate_hz for stream in range(5)] == [44100] * 5


def test_songs_that_no_stem_file_holds_offer_none(served):
    assert served.job["stem_mp4_url"] is None
    answer = served.client.get(f"{served.base}/stems.mp4")
    assert answer.status_code == 409
    assert answer.json()["error"]["message"].endswith("and these are others; take the zip")


def test_results_of_a_job_that_waits_are_a_conflict(served):
    job = served.submit(served.song)
    for path in (
        *("stems/vocals.flac", "original", "stems.zip", "peaks/original", "play/vocals"),
        "pieces/original?first=0&count=1",
    ):
        answer = served.client.get(f"{API}/jobs/{job['id']}/{path}")
        assert answer.status_code == 409
        assert answer.json()["error"]["message"] == "the job is queued and has no result"

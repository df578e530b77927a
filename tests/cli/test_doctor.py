"""`stemlight doctor` finds what is wrong, says what to do, and finds nothing where all is well."""

from __future__ import annotations

import json
import shutil
import sys
from collections import namedtuple

import numpy as np
import pytest

from stemlight.chunking import ChunkPlan
from stemlight.cli.self_test import compare_engines, made_up_music, self_test
from stemlight.separation import Separator

from .material import TORCH_GONE, python

PLAN = ChunkPlan(chunk_samples=44_100, trim_samples=1000, overlap_samples=1000)


@pytest.fixture
def doctor(run, model):
    """Call the doctor with the tiny model."""
    return lambda *words: run("doctor", "--model", model, "--threads", 1, *words)


def lines_of(text: str) -> dict[str, str]:
    return {line[:24].strip(): line[24:].strip() for line in text.splitlines()}


def test_all_is_well_here(doctor, tmp_path):
    report = tmp_path / "report.json"
    ran = doctor("--report", report)
    assert (ran.code, ran.err) == (0, "all is well\n")
    lines = lines_of(ran.out)
    assert {"stemlight", "python", "numpy", "onnxruntime", "av", "soundfile"} <= lines.keys()
    assert lines["numpy"] == np.__version__
    assert lines["length"] == "exact"
    assert lines["two runs"] == "the same bytes"
    for engine in ("openvino", "torch"):
        assert lines[f"engine {engine}"].startswith(f"here: {engine} ")
        assert lines[f"onnx and {engine}"].endswith("of full scale apart")
    assert "times real time" in lines["speed"]
    findings = json.loads(report.read_text())["findings"]
    assert [finding["name"] for finding in findings] == list(lines)
    assert all(finding["problem"] is None for finding in findings)


def test_no_torch_is_needed_and_its_place_is_told(model):
    ran = python(TORCH_GONE, "doctor", "--model", model, "--threads", 1)
    assert (ran.returncode, ran.stderr) == (0, "all is well\n")
    lines = lines_of(ran.stdout)
    assert lines["engine torch"].startswith("not installed; for GPUs and training: pip install")
    assert lines["two runs"] == "the same bytes"
    assert "onnx and torch" not in lines


def test_a_quick_examination_separates_nothing(doctor):
    ran = doctor("--quick")
    assert ran.code == 0
    assert "speed" not in lines_of(ran.out)


# Each thing that can be wrong


def test_a_package_that_cannot_be_imported_is_named_and_ends_the_examination(doctor, monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    ran = doctor()
    assert ran.code == 1
    (error,) = ran.errors
    assert error.startswith("error: soxr cannot be used (ModuleNotFoundError: ")
    assert error.endswith("run: pip install --force-reinstall stemlight")
    assert "speed" not in lines_of(ran.out)


def test_a_damaged_model_in_the_cache_is_named_with_its_cure(doctor, model, tmp_path, monkeypatch):
    monkeypatch.setenv("STEMLIGHT_CACHE", str(tmp_path))
    shutil.copytree(model, tmp_path / "models" / "broken")
    (tmp_path / "models" / "broken" / "model.onnx").write_bytes(b"no graph")
    ran = doctor("--quick")
    assert ran.code == 1
    assert ran.errors[0].startswith("error: model broken: ")
    assert ran.errors[0].endswith(
        "run: stemlight models remove broken && stemlight models fetch broken"
    )
    assert lines_of(ran.out)["model broken"] == "damaged"


def test_little_room_is_told(doctor, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage(10**12, 0, 5 * 10**7))
    ran = doctor("--quick")
    assert ran.code == 1
    assert "only 0.05 GB are free at" in ran.errors[0]


def test_a_cache_that_cannot_be_written_is_told(doctor, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    ran = doctor("--quick")
    assert ran.code == 1
    assert any("choose another folder with STEMLIGHT_CACHE" in line for line in ran.errors)


def test_an_unknown_model_is_a_failed_self_test(run):
    ran = run("doctor", "--model", "stemlihgt")
    assert ran.code == 1
    assert ran.errors[0].startswith("error: the self-test failed: no model 'stemlihgt'")


class MoodyBackend:
    """Answers with a gain that changes from call to call, or with what it is told."""

    sources = ("one", "two")
    sample_rate_hz = 44_100
    n_channels = 2

    def __init__(self, *gains: float) -> None:
        self.gains = list(gains)
        self.n_calls = 0

    def separate_chunks(self, mixture, sources):
        gain = np.float32(self.gains[self.n_calls % len(self.gains)])
        self.n_calls += 1
        return np.stack([mixture * gain, mixture * np.float32(0.5)], axis=1)


def problems_of(backend) -> list[str]:
    stems: dict[str, np.ndarray] = {}
    found = list(self_test(Separator(backend, PLAN), stems))
    assert set(stems) == {"one", "two"}
    return [finding.problem for finding in found if finding.problem]


def test_a_steady_model_has_no_problems():
    assert problems_of(MoodyBackend(0.5)) == []


def test_runs_that_differ_are_found():
    (problem,) = problems_of(MoodyBackend(*np.linspace(0.1, 1, 1000)))
    assert problem.startswith("two runs gave different samples of one; try --threads 1")


def test_silence_and_nan_are_found():
    class Silent(MoodyBackend):
        def separate_chunks(self, mixture, sources):
            return np.zeros((len(mixture), 2, *mixture.shape[1:]), np.float32)

    (problem,) = problems_of(Silent())
    assert problem.startswith("the model gives nothing but zeros; try another version")
    with np.errstate(invalid="ignore"):
        assert "NaN or infinite samples in one" in problems_of(MoodyBackend(np.nan))[0]


@pytest.mark.parametrize(("distance", "is_wrong"), [(5e-5, False), (2e-4, True), (np.nan, True)])
def test_engines_that_are_far_apart_are_found(distance, is_wrong):
    one = {"vocals": np.zeros((2, 5), np.float32)}
    other = {"vocals": np.full((2, 5), distance, np.float32)}
    assert (compare_engines(one, "torch", other).problem is not None) == is_wrong


def test_the_music_is_always_the_same_and_never_too_loud():
    music = made_up_music()
    assert music.shape == (2, 441_000)
    np.testing.assert_array_equal(music, made_up_music())
    assert 0.1 < np.abs(music).max() < 1

from __future__ import annotations

import subprocess
import sys

import pytest

from stemlight.errors import UsageError, WeightsError
from stemlight.separation import sessions
from stemlight.separation.sessions import OnnxRuntime, open_session
from stemlight.weights.catalogue import find_model

PEAKS = """
import sys
from pathlib import Path
import numpy as np
from stemlight.separation.sessions import open_session

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS"))
    return int(line.split()[1])

feed = {"planes": np.zeros((1, 4, 128, 2048), np.float32)}
sessions = [open_session(Path(sys.argv[1]), n_threads=1) for _ in range(4)]
loaded = resident()
for session in sessions:
    session.run(None, feed)
    print(resident() - loaded)
"""


def test_several_sessions_compute_in_the_same_memory(tmp_path):
    if not sys.platform.startswith("linux"):
        pytest.skip("the resident memory is read as Linux tells it")
    graph = find_model("stemlight") / "model.onnx"
    done = subprocess.run(
        [sys.executable, "-c", PEAKS, str(graph)], capture_output=True, text=True, check=True
    )
    first, *_, fourth = map(int, done.stdout.split())
    assert fourth < 2 * first


def test_sessions_may_be_opened_one_after_another():
    graph = find_model("stemlight") / "model.onnx"
    names = [
        [value.name for value in open_session(graph, n_threads=1, optimize=optimize).get_inputs()]
        for optimize in (False, False)
    ]
    assert names == [["planes"]] * 2


class CpuSession:
    """What ONNX Runtime gives where the drivers of a GPU are missing."""

    def get_providers(self):
        return ["CPUExecutionProvider"]


def test_a_gpu_is_used_or_its_absence_told(monkeypatch):
    asked = []

    def open_cpu_session(graph, *, n_threads, providers):
        asked.append(providers)
        return CpuSession()

    cpu = ["CPUExecutionProvider"]
    monkeypatch.setattr(sessions.onnxruntime, "get_available_providers", lambda: cpu)
    with pytest.raises(UsageError, match="does not run on 'cuda'; put onnxruntime-gpu in"):
        OnnxRuntime(device="cuda")
    gpu = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(sessions.onnxruntime, "get_available_providers", lambda: gpu)
    monkeypatch.setattr(sessions, "open_session", open_cpu_session)
    with pytest.raises(UsageError, match="cannot use 'cuda' here: its driver or libraries are"):
        OnnxRuntime(device="cuda")(b"graph")
    assert asked == [gpu]


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match=r"model\.onnx cannot be run by ONNX Runtime: "):
        open_session(tmp_path / "model.onnx")

"""`stemlight import`: messages, exit codes, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from stemlight.weights.cards import read_card

from ..weights.foreign_files import lightning
from ..weights.official_names import official_state_dict, tiny_config, tiny_model
from .material import TORCH_GONE, python, tree

STORED = {"hop_length": 256, "num_frame": 64}
STORED_MDX = {"hop_length": 64, "dim_t": 64, "n_fft": 384}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Work in an empty folder, with a cache of its own beside it."""
    monkeypatch.setenv("STEMLIGHT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def checkpoint(path, preset="gpocm", stored=None):
    state = official_state_dict(tiny_config(preset), model=tiny_model(preset))
    usual = STORED_MDX if preset.startswith("tfc-tdf-v2") else STORED
    torch.save(lightning(state, usual | (stored or {})), path)
    return path


@pytest.fixture(scope="session")
def vocals(tmp_path_factory):
    """A checkpoint of a network of one source, which its name tells."""
    return checkpoint(tmp_path_factory.mktemp("files") / "vocals.ckpt", "tfc-tdf-large")


def test_a_checkpoint_becomes_a_folder_of_its_name(run, vocals, place):
    ran = run("import", vocals)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("vocals: tfc-tdf-")
    assert ran.out.endswith(" parameters\n")
    assert ", stems vocals, " in ran.out
    assert tree(place) == [f"vocals/{name}" for name in ("card.json", "model.onnx")] + [
        "vocals/model.safetensors"
    ]
    assert read_card(place / "vocals").name == "vocals"


def test_options_reach_the_card(run, vocals, place):
    ran = run(
        *("import", vocals, "-o", "deep/mine", "--name", "my model", "--licence", "CC BY 4.0"),
        *("--source", "flute", "--set", "network.activation=leaky_relu", "--gain", "1.035"),
    )
    assert ran.code == 0, ran.err
    card = read_card(place / "deep/mine")
    assert (card.name, card.licence, card.sources) == ("my model", "CC BY 4.0", ("flute",))
    assert card.model_config().network.activation == "leaky_relu"
    assert card.model_config().output_gain == 1.035


def test_a_preset_and_its_fields_can_be_named(run, tmp_path, place):
    path = checkpoint(tmp_path / "x.ckpt", "gpocm", {"unknown": 1})
    fields = {
        "stft.n_fft": 512,
        "stft.hop_samples": 256,
        "network.n_blocks": 5,
        "network.features": [4],
        "network.n_tfc_layers": 2,
        "network.embedding_dim": 8,
        "chunk.chunk_samples": 256 * 63,
    }
    settings = [
        word for name, value in fields.items() for word in ("--set", f"{name}={json.dumps(value)}")
    ]
    ran = run("import", path, "-o", "made", "--preset", "gpocm", *settings)
    assert ran.code == 0, ran.err
    assert read_card(place / "made").model_config() == tiny_config("gpocm")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gain", "0"], "--gain must be a factor above 0, not 0.0"),
        (["--gain", "nan"], "--gain must be a factor above 0, not nan"),
        (["--gain", "inf"], "--gain must be a factor above 0, not inf"),
        (["--set", "activation"], "--set needs key=value"),
        (["--set", "network.activatoin=relu"], "(did you mean 'activation'?)"),
        (["--set", "network.activation=gelu"], "must be one of identity, relu"),
        (["--preset", "gpocn"], "(did you mean 'gpocm'?)"),
        (["-o", "full"], "full is there already and not empty; choose another folder"),
        (["--n-fft", "4096"], "--n-fft 4096: vocals.ckpt has 512 already"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run, vocals, place, options, message):
    (place / "full").mkdir()
    (place / "full/mine.txt").write_text("mine")
    ran = run("import", vocals, *options)
    assert ran.code == 2
    (error,) = ran.errors
    assert message in error
    assert ran.out == ""
    assert tree(place) == ["full/mine.txt"]


@pytest.mark.parametrize("options", [["--n-fft", "x"], ["--hop", "0"], ["--lisence", "x"]])
def test_options_that_do_not_exist_or_are_no_numbers_are_wrong_usage(run, vocals, place, options):
    assert run("import", vocals, *options).code == 2
    assert tree(place) == []


def test_no_file_and_a_missing_file_are_wrong_usage(run, place):
    assert run("import").code == 2
    ran = run("import", "missing.ckpt")
    assert (ran.code, ran.errors) == (2, ["error: there is no file missing.ckpt"])


def test_a_graph_asks_for_what_it_does_not_tell(run, shared, place):
    path = shared("fixtures/official/mdx_v2_vocals.onnx")
    ran = run("import", path)
    assert ran.code == 2
    assert "does not tell its n_fft" in ran.err
    assert "stemlight import mdx_v2_vocals.onnx --n-fft 256" in ran.err
    ran = run("import", path, "-o", "made", "--n-fft", "384", "--hop", "64")
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize("name", ["bad.ckpt", "bad.onnx", "bad.safetensors"])
def test_a_damaged_file_is_one_line_and_exit_code_1(run, place, name):
    (place / name).write_bytes(b"hello")
    ran = run("import", name, "-o", "made", "--n-fft", "4096")
    assert ran.code == 1
    (error,) = ran.errors
    assert error.startswith(f"error: {name} ")
    assert tree(place) == [name]


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_file_that_would_run_something_is_named_with_it_and_runs_nothing(run, place):
    torch.save({"state_dict": {"w": torch.ones(2)}, "x": Trap(place / "touched")}, "trap.ckpt")
    ran = run("import", "trap.ckpt", "-o", "made")
    assert ran.code == 1
    (error,) = ran.errors
    assert "trap.ckpt is refused: it names posix.system, which is no part of weights" in error
    assert tree(place) == ["trap.ckpt"]


def test_several_files_make_a_system_and_need_a_folder(run, vocals, place):
    bass = checkpoint(place / "bass.ckpt", "tfc-tdf-large")
    assert "name its folder with -o DIR" in run("import", vocals, bass).err
    ran = run("import", vocals, bass, "-o", "both", "--source", "bass")
    assert (ran.code, "--source can hold for one file alone" in ran.err) == (2, True)
    ran = run("import", vocals, bass, "-o", "both")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("both: system of vocals, bass, stems vocals, bass, ")
    assert [name for name in tree(place) if ".part" in name] == []


def test_a_mixer_alone_is_told_what_it_needs(run, place):
    torch.save({"linear.weight": torch.zeros(8, 10)}, "mixer.ckpt")
    ran = run("import", "mixer.ckpt", "-o", "made")
    assert ran.code == 2
    assert "mixer.ckpt is a mixer, which needs the networks that it mixes" in ran.err


def test_a_file_can_be_separated_with_at_once_and_is_kept(run, vocals, song, place, tmp_path):
    for _ in range(2):
        ran = run("separate", "--model", vocals, song, "-o", "out", "--overwrite", "--quiet")
        assert ran.code == 0, ran.err
        assert "song/vocals.wav" in tree(place / "out")
    (kept,) = (tmp_path / "cache/imported").iterdir()
    assert read_card(kept).name == "vocals"
    assert "tfc-tdf-" in run("info", vocals).out


def test_a_model_file_that_cannot_be_read_fails_before_any_song(run, song, place):
    (place / "bad.onnx").write_bytes(b"hello")
    ran = run("separate", "--model", "bad.onnx", song)
    assert ran.code in (1, 2)
    assert "bad.onnx" in ran.err
    assert tree(place) == ["bad.onnx"]


def test_without_pytorch_the_extra_is_named(vocals, place):
    done = python(TORCH_GONE, "import", vocals, "-o", "made")
    assert done.returncode == 1
    assert "which is not installed; run: pip install 'stemlight[torch]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(place) == []


def test_without_pytorch_a_graph_is_imported_to_run_as_it_is(shared, place):
    path = shared("fixtures/official/mdx_v2_vocals.onnx")
    done = python(TORCH_GONE, "import", path, "-o", "made", "--n-fft", "384", "--hop", "64")
    assert done.returncode == 0, done.stderr
    assert "note: " in done.stderr
    assert "stemlight[torch]" in done.stderr
    assert tree(place) == ["made/card.json", "made/model.onnx"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_behind(vocals, place, number, code):
    slow = (
        "import time\n"
        "from stemlight.weights import import_checkpoint\n"
        "def save_model(model, card, folder):\n"
        "    (folder / 'half').write_text('half')\n"
        "    print('saving', flush=True)\n"
        "    time.sleep(30)\n"
        "import_checkpoint.save_model = save_model\n"
        "from stemlight.cli import main\n"
        "main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slow, "import", vocals, "-o", "a/made"], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"saving\n"
    time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(timeout=20) == code
    process.stdout.close()
    assert tree(place) == []
    assert list(place.iterdir()) == []

"""PyTorch files are read as PyTorch reads them, and nothing in them is ever run."""

from __future__ import annotations

import argparse
import io
import pickle
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from stemlight.errors import WeightsError
from stemlight.weights.torch_files import read_torch_file

from .foreign_files import (
    AttributeDict,
    Container,
    Node,
    lightning,
    package,
    tensor_pickle,
    write_archive,
)

SETTINGS = {"n_fft": 512, "lr": 1e-3, "spec_type": "complex", "t_down_layers": None, "bias": True}
LAYOUTS = {"zip": True, "legacy": False}


@pytest.fixture(params=LAYOUTS)
def save(request, tmp_path):
    """Save with PyTorch in both of its layouts."""

    def save(content, name="x.ckpt", **options):
        path = tmp_path / name
        torch.save(content, path, _use_new_zipfile_serialization=LAYOUTS[request.param], **options)
        return path

    return save


def weights():
    torch.manual_seed(0)
    shared = torch.randn(6)
    return {
        "matrix": torch.randn(3, 4),
        "transposed": torch.randn(3, 4).t(),
        "slice": torch.randn(10)[2:5],
        "one": shared,
        "again": shared.view(2, 3),
        "scalar": torch.tensor(7),
        "nothing": torch.zeros(0, 3),
        "double": torch.randn(2, dtype=torch.float64),
        "half": torch.randn(2).half(),
        "brain": torch.randn(5).bfloat16(),
        "bytes": torch.tensor([1, 255], dtype=torch.uint8),
        "truths": torch.tensor([True, False]),
        "parameter": nn.Parameter(torch.randn(2)),
    }


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, array in found.items():
        tensor = expected[name].detach()
        tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
        assert array.dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(array, tensor.numpy(), err_msg=name)


# ---------------------------------------------------------------- what is there


@pytest.mark.parametrize("wrap", [dict, lightning])
def test_tensors_of_all_kinds_are_read_as_pytorch_reads_them(save, wrap):
    assert_same(read_torch_file(save(wrap(weights()))).state_dict, weights())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickles_is_read(save, protocol):
    path = save(lightning(weights(), SETTINGS), pickle_protocol=protocol)
    found = read_torch_file(path)
    assert_same(found.state_dict, weights())
    assert found.hyper_parameters == SETTINGS


def test_the_state_dict_of_a_module_is_read(save):
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    assert_same(read_torch_file(save(module.state_dict())).state_dict, module.state_dict())


def test_arrays_own_their_numbers_and_can_become_tensors(save):
    found = read_torch_file(save(weights())).state_dict
    torch.from_numpy(found["matrix"]).zero_()
    assert found["one"].base is None or found["one"].flags.writeable


@pytest.mark.parametrize("key", ["hyper_parameters", "hparams"])
def test_settings_are_found_where_lightning_puts_them_and_put_them_once(save, key):
    content = lightning(weights()) | {key: SETTINGS}
    assert read_torch_file(save(content)).hyper_parameters == SETTINGS


def test_settings_may_be_an_object_of_lightning(save):
    with package("pytorch_lightning.utilities.parsing", AttributeDict=AttributeDict):
        path = save(lightning(weights(), AttributeDict(SETTINGS)))
    found = read_torch_file(path)
    assert found.hyper_parameters == SETTINGS
    assert_same(found.state_dict, weights())


def test_settings_may_be_a_namespace_of_argparse(save):
    path = save(lightning(weights(), argparse.Namespace(**SETTINGS)))
    assert read_torch_file(path).hyper_parameters == SETTINGS


@pytest.mark.parametrize("outer", ["DictConfig", "dict"])
def test_settings_may_be_nested_objects_of_omegaconf(save, outer):
    nested = SETTINGS | {"spec2spec": {"n_blocks": 3, "levels": [0, 2]}}
    with (
        package("omegaconf.dictconfig", DictConfig=Container),
        package("omegaconf.nodes", AnyNode=Node),
    ):
        config = Container(nested | {"a reference": "${lr}"})
        path = save(lightning(weights(), config if outer == "DictConfig" else {"model": config}))
    found = read_torch_file(path).hyper_parameters
    assert (found if outer == "DictConfig" else found["model"]) == nested


def test_what_describes_the_run_may_be_classes_and_scalars_of_numpy(save):
    class EarlyStopping:
        pass

    with package("pytorch_lightning.callbacks.early_stopping", EarlyStopping=EarlyStopping):
        content = lightning(weights(), SETTINGS | {"rate": np.float64(0.1), "kind": EarlyStopping})
        content["callbacks"] = {EarlyStopping: {"wait_count": np.int64(3), "seen": {1, 2}}}
        path = save(content)
    found = read_torch_file(path)
    assert_same(found.state_dict, weights())
    assert found.hyper_parameters == SETTINGS  # what is no plain value is left out


def test_a_safetensors_file_is_read(tmp_path):
    state = {"a.weight": torch.randn(2, 3), "n": torch.tensor(3)}
    save_file(state, tmp_path / "x.safetensors")
    assert_same(read_torch_file(tmp_path / "x.safetensors").state_dict, state)


def test_published_files_are_read_as_pytorch_reads_them(shared):
    for name in ("mixer.ckpt", "cac_tdc_17_vocals_top3.pt"):
        path = shared(f"weights/{name}")
        expected = torch.load(path, map_location="cpu", weights_only=True)
        assert_same(read_torch_file(path).state_dict, expected)


def test_reading_needs_no_pytorch(tmp_path):
    torch.save(lightning(weights(), SETTINGS), tmp_path / "x.ckpt")
    code = (
        "import sys; from pathlib import Path; sys.modules['torch'] = None\n"
        "from stemlight.weights.torch_files import read_torch_file\n"
        f"print(len(read_torch_file(Path({str(tmp_path / 'x.ckpt')!r})).state_dict))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(len(weights()))


# ---------------------------------------------------------------- traps


class Trap:
    """Calls something when it is unpickled."""

    def __init__(self, called, *arguments):
        self.call = (called, arguments)

    def __reduce__(self):
        return self.call


def called(name):
    module, _, attribute = name.rpartition(".")
    found = sys.modules.get(module) or __import__(module, fromlist=["x"])
    return getattr(found, attribute)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "builtins.exec",
        "builtins.getattr",
        "builtins.open",
        "operator.attrgetter",
        "functools.partial",
        "importlib.import_module",
        "numpy.load",
        "torch.load",
        "torch.hub.load",
        "torch.jit.load",
        "torch.storage._load_from_bytes",
        "torch.utils.data.DataLoader",
        "torch.nn.modules.linear.Linear",
        "torch._utils.classproperty",
        "typing.get_type_hints",
        "pathlib.os.system",
    ],
)
@pytest.mark.parametrize("place", ["beside", "settings", "weights"])
def test_a_file_that_would_call_something_is_refused_and_calls_nothing(tmp_path, name, place):
    if name == "pathlib.os.system":  # reached through a module that is harmless
        trap = b"cpathlib\nos.system\n(S'touch %s'\ntR" % bytes(tmp_path / "touched")
    elif name.startswith("torch.nn"):
        trap = b"ctorch.nn.modules.linear\nLinear\n(I1\nI1\ntR"
    else:
        module, _, attribute = name.rpartition(".")
        arguments = b"S'touch %s'\n" % bytes(tmp_path / "touched")
        trap = b"c%b\n%b\n(%btR" % (module.encode(), attribute.encode(), arguments)
        assert called(name)
    key = {"beside": b"x", "settings": b"hyper_parameters", "weights": b"state_dict"}[place]
    inner = tensor_pickle()[:-1]
    path = write_archive(
        tmp_path / "x.ckpt",
        b"}(U\x05model%bU%c%b%bu." % (inner, len(key), key, trap),
        [bytes(16)],
    )
    with pytest.raises(WeightsError) as caught:
        read_torch_file(path)
    message = str(caught.value)
    expected = r"pathlib.os.system" if name.startswith("pathlib") else name
    assert message.startswith(f"{path} is refused: it names {expected}, which is no part")
    assert "\n" not in message
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("hydra.utils", "instantiate"),
        ("hydra.utils", "call"),
        ("omegaconf.x", "__import__"),
        ("lightning_evil", "Callback"),
        ("lightning-evil", "Callback"),
        ("wandb os", "System"),
        ("xargparse", "Namespace"),
        ("argparse", "Namespace.__init__"),
        ("torch", "FloatStorage.from_file"),
        ("torch.storage", "os"),
        ("torch.cuda", "Event"),
        ("numpy.core.multiarray", "fromfile"),
    ],
)
def test_names_that_only_look_harmless_are_refused(tmp_path, module, name):
    record = (
        pickle.PROTO
        + b"\x04"
        + b"".join(b"\x8c%c%b" % (len(text), text.encode()) for text in (module, name))
    )
    path = write_archive(tmp_path / "x.ckpt", record + b"\x93(tR.")
    with pytest.raises(WeightsError, match="is refused: it names"):
        read_torch_file(path)


def test_real_traps_made_by_pickle_are_refused_in_both_layouts(save, tmp_path):
    import os

    path = save({"state_dict": weights(), "x": Trap(os.system, f"touch {tmp_path / 'touched'}")})
    with pytest.raises(WeightsError, match=r"it names (posix|nt)\.system"):
        read_torch_file(path)
    assert not (tmp_path / "touched").exists()


def test_a_state_set_on_a_class_changes_no_class(tmp_path):
    """`BUILD` on a class, as pickle runs it, would put attributes into PyTorch itself."""
    trap = b"}U\x01xctorch.nn.parameter\nParameter\n(N}U\x05trappI1\nstbs."
    with pytest.raises(WeightsError, match="holds no weights"):
        read_torch_file(write_archive(tmp_path / "x.pt", trap))
    assert not hasattr(nn.Parameter, "trapp")


def test_a_whole_module_is_refused_with_what_to_do(save):
    path = save(nn.Sequential(nn.Linear(2, 2)), "model.pt")
    with pytest.raises(WeightsError, match=r"names torch\.nn\.modules\.\w+\.\w+, .* state dict"):
        read_torch_file(path)


def test_a_model_of_demucs_is_sent_to_its_own_package(save):
    class HTDemucs:
        pass

    with package("demucs.htdemucs", HTDemucs=HTDemucs):
        path = save({"klass": HTDemucs, "state": weights()}, "955717e8.th")
    with pytest.raises(WeightsError, match=r"a model of Demucs \(demucs\.htdemucs\.HTDemucs\)"):
        read_torch_file(path)


@pytest.mark.filterwarnings("ignore")  # TorchScript is old
def test_a_program_of_torchscript_is_refused(tmp_path):
    path = tmp_path / "x.pt"
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), path)
    with pytest.raises(WeightsError, match=r"is refused: it names __torch__\.|compressed parts"):
        read_torch_file(path)


# ---------------------------------------------------------------- damage


def test_the_honest_tensor_of_the_next_tests_is_read(tmp_path):
    numbers = np.arange(4, dtype="<f4")
    path = write_archive(tmp_path / "x.pt", tensor_pickle(), [numbers.tobytes()])
    np.testing.assert_array_equal(read_torch_file(path).state_dict["w"], numbers)


@pytest.mark.parametrize(
    "lie",
    [
        {"n_stored": 10**15},
        {"n_stored": 10**15, "shape": (10**15,)},
        {"n_stored": 5, "shape": (5,)},
        {"n_stored": -4},
        {"shape": (5,)},
        {"shape": (10**12,), "strides": (0,)},
        {"shape": (2,), "strides": (10**9,)},
        {"shape": (2,), "strides": (-1,)},
        {"shape": (-4,)},
        {"shape": (-2, -2), "strides": (2, 1)},
        {"shape": (2, 2), "strides": (1,)},
        {"shape": (1,) * 65, "strides": (1,) * 65},
        {"offset": 1},
        {"offset": -1, "shape": (2,)},
        {"offset": 10**18},
        {"key": "1"},
        {"key": "../version"},
        {"kind": "QInt8Storage"},
    ],
    ids=str,
)
def test_a_tensor_that_lies_about_its_storage_is_an_error(tmp_path, lie):
    path = write_archive(tmp_path / "x.pt", tensor_pickle(**lie), [bytes(16)])
    with pytest.raises(WeightsError) as caught:
        read_torch_file(path)
    assert str(caught.value).startswith(f"{path} ")
    assert "\n" not in str(caught.value)


def test_a_legacy_storage_that_lies_about_its_length_is_an_error(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"w": torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    n_items = content.rindex((1000).to_bytes(8, "little"))
    for lie in (10**12, 2**63 - 1, 2**64 - 1, 999):
        path.write_bytes(content[:n_items] + lie.to_bytes(8, "little") + content[n_items + 8 :])
        with pytest.raises(WeightsError, match=r"is damaged"):
            read_torch_file(path)


def test_thousands_of_tensors_of_one_storage_are_refused(tmp_path):
    one = tensor_pickle(n_stored=10_000, shape=(10_000,))[1:-2]  # its name and what it is
    many = b"}(" + b"".join(one.replace(b"U\x01w", b"U\x04%04d" % i) for i in range(100)) + b"u."
    path = write_archive(tmp_path / "x.pt", many, [bytes(40_000)])
    with pytest.raises(WeightsError, match="more than 4 times its size in weights"):
        read_torch_file(path)


def test_a_compressed_archive_is_refused(tmp_path):
    path = write_archive(
        tmp_path / "x.pt", tensor_pickle(), [bytes(16)], compression=zipfile.ZIP_DEFLATED
    )
    with pytest.raises(WeightsError, match="has compressed parts"):
        read_torch_file(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80", b"PK\x03\x04", b"PK\x03\x04" * 99])
def test_what_is_no_file_of_pytorch_is_an_error(tmp_path, content):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"is empty|is damaged or no file of PyTorch") as caught:
        read_torch_file(path)
    assert str(path) in str(caught.value)


def test_other_pickles_archives_and_folders_are_errors(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(WeightsError, match="is no file of PyTorch: it is another pickle"):
        read_torch_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(WeightsError, match=r"it has no one data\.pkl"):
        read_torch_file(path)
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO(b""))
    with pytest.raises(WeightsError, match="a tar archive of the oldest PyTorch"):
        read_torch_file(path)
    with pytest.raises(WeightsError, match="cannot be read: Is a directory"):
        read_torch_file(tmp_path)
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        read_torch_file(tmp_path / "missing.pt")
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(WeightsError, match="is damaged or no safetensors file"):
        read_torch_file(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "holds no weights: there is no tensor in it, but epoch"),
        ({}, "holds no weights: there is no tensor in it, but a dict"),
        ([1, 2], "holds no weights: there is no tensor in it, but a list"),
        (torch.zeros(3), "holds a tensor without a name; save model.state_dict"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, r"numbers of the kind torch\.ComplexFl"),
        ({"a": torch.zeros(3).to_sparse()}, r"made by torch\._utils\._rebuild_sparse_tensor"),
    ],
)
def test_content_without_plain_weights_is_named(save, content, message):
    with pytest.raises(WeightsError, match=message):
        read_torch_file(save(content))


def test_a_file_cut_anywhere_is_an_error_or_read_whole(save):
    path = save(lightning(weights(), SETTINGS))
    content = path.read_bytes()
    for n_bytes in range(0, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:n_bytes])
        with pytest.raises(WeightsError):
            read_torch_file(path)


def test_a_file_changed_anywhere_never_breaks_otherwise(save):
    path = save(lightning(weights(), SETTINGS))
    content = bytearray(path.read_bytes())
    generator = np.random.default_rng(0)
    for place in generator.integers(len(content), size=300):
        changed = content.copy()
        changed[place] = generator.integers(256)
        path.write_bytes(changed)
        try:
            read_torch_file(path)
        except WeightsError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_settings_repeated_without_end_are_an_error(tmp_path):
    # A list of the list before, twice; 60 times. What is popped stays in the memo.
    doubled = b"]q\x000" + b"".join(b"](h%ch%ceq%c0" % (i, i, i + 1) for i in range(60)) + b"h<"
    inner = tensor_pickle()[:-1]
    record = b"}(U\x0astate_dict%bU\x10hyper_parameters}U\x01x%bsu." % (inner, doubled)
    path = write_archive(tmp_path / "x.pt", record, [bytes(16)])
    with pytest.raises(WeightsError, match="holds more than 10000 settings"):
        read_torch_file(path)


def test_keys_that_take_forever_to_hash_are_left_out(tmp_path):
    nested = b")q\x000" + b"".join(b"h%ch%c\x86q%c0" % (i, i, i + 1) for i in range(60)) + b"h<"
    inner = tensor_pickle()[1:-2]
    path = write_archive(tmp_path / "x.pt", b"}(%b%bI1\nu." % (inner, nested), [bytes(16)])
    assert list(read_torch_file(path).state_dict) == ["w"]

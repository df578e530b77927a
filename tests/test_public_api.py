"""What is public, and what importing it costs."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import stemlight

MODULES = [
    module.name
    for module in pkgutil.walk_packages(stemlight.__path__, "stemlight.")
    if not module.name.endswith("__main__")
]
HEAVY = (
    "torch",
    "lightning",
    "onnxruntime",
    "numpy",
    "scipy",
    "av",
    "soundfile",
    "soxr",
    "yaml",
    "fastapi",
    "fsspec",
    "pyarrow",
    "ray",
)


def test_every_public_name_is_there():
    assert set(stemlight.__all__) <= set(dir(stemlight))
    for name in stemlight.__all__:
        assert getattr(stemlight, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'seperate'"):
        stemlight.seperate  # noqa: B018


@pytest.mark.parametrize("name", MODULES)
def test_each_module_lists_the_names_that_it_defines_for_others(name):
    module = importlib.import_module(name)
    listed = set(getattr(module, "__all__", ()))
    own = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == name
    }
    assert own <= listed, f"{name} hides {sorted(own - listed)}"
    assert all(hasattr(module, key) for key in listed)


def test_importing_stemlight_imports_nothing_heavy():
    code = f"import sys, stemlight; print([m for m in {HEAVY!r} if m in sys.modules])"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"

from __future__ import annotations

import subprocess
import sys

import pytest

import stemlight.audio

from .material import TYPES_ARE_CHECKED


def test_importing_the_package_loads_no_decoder():
    code = (
        "import sys, stemlight.audio;"
        "print(sorted({'av', 'soundfile', 'soxr', 'mutagen', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.skipif(TYPES_ARE_CHECKED, reason="jaxtyping adds names of its own")
def test_what_is_public_is_what_is_listed():
    modules = {name for name in vars(stemlight.audio) if f"stemlight.audio.{name}" in sys.modules}
    visible = {name for name in vars(stemlight.audio) if not name.startswith("_")} - modules
    assert visible == set(stemlight.audio.__all__)

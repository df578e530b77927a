"""docs/training.md explains every field of a recipe, with its default; its examples are read."""

from __future__ import annotations

import dataclasses
import re
import typing

import pytest
import yaml

from stemlight.configs import from_mapping, merge
from stemlight.training.losses import LossConfig
from stemlight.training.mixing import MixingConfig
from stemlight.training.optimizers import OptimizerConfig
from stemlight.training.recipe import (
    DataConfig,
    HardwareConfig,
    Recipe,
    TrackFolder,
    ValidationConfig,
)

from ..conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
SECTIONS = {
    Recipe: "",
    DataConfig: "data.",
    TrackFolder: "data.train[].",
    LossConfig: "loss.",
    OptimizerConfig: "optimizer.",
    ValidationConfig: "validation.",
    HardwareConfig: "hardware.",
}
MINIMAL = {
    "name": "x",
    "preset": "stemlight-small",
    "data": {"root": ".", "train": [{"path": "a"}], "validation": []},
    "n_steps": 1,
    "steps_per_epoch": 1,
    "batch_size": 1,
    "train_frames": 64,
}


def rows():
    found = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) >= 3 and cells[0].startswith("`"):
            for name in re.findall(r"`([^`]+)`", cells[0]):
                assert name not in found, f"{name} is explained twice"
                found[name] = cells[1]
    return found


def shown_default(field):
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
        return None if dataclasses.is_dataclass(default) else "none"
    if field.default is dataclasses.MISSING:
        return "required"
    if field.default is None or field.default == ():
        return "none"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("kind", SECTIONS, ids=lambda kind: kind.__name__)
def test_every_field_is_explained_with_its_default(kind):
    explained = rows()
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(typing.get_type_hints(kind)[field.name]):
            continue  # a section of its own
        name = SECTIONS[kind] + field.name
        assert name in explained, f"docs/training.md does not explain {name}"
        default = shown_default(field)
        try:
            assert float(explained[name]) == float(default), name
        except ValueError:
            assert explained[name] == default, name


def mixing_fields(kind=MixingConfig, prefix=""):
    for field in dataclasses.fields(kind):
        hint = typing.get_type_hints(kind)[field.name]
        if dataclasses.is_dataclass(hint):
            yield from mixing_fields(hint, f"{field.name}.")
        else:
            yield prefix + field.name


def test_every_option_of_mixing_is_explained():
    missing = [name for name in mixing_fields() if f"`{name}`" not in PAGE]
    assert not missing


def test_no_field_is_explained_that_recipes_do_not_have():
    known = {SECTIONS[kind] + field.name for kind in SECTIONS for field in dataclasses.fields(kind)}
    assert set(rows()) - known - set(mixing_fields()) == set()


def test_the_examples_of_the_page_are_recipes():
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) >= 3
    for example in examples:
        from_mapping(Recipe, merge(MINIMAL, yaml.safe_load(example))).model_config()

"""Every picture that a model allows is drawn, and every other is refused with the reason."""

from __future__ import annotations

import dataclasses
import functools
import warnings

import numpy as np
import pytest

from stemlight.errors import UsageError
from stemlight.inspection import (
    PICTURES,
    Material,
    Observation,
    Subject,
    architecture_figure,
    draw,
    errors_figure,
    interpolate,
    observe,
    spectrograms_figure,
    what_is_missing,
)
from stemlight.inspection.drawing import by_octaves, shrink

from .material import NETWORKS, noise, subject

ALWAYS = {"architecture", "receptive-field", "spectrograms", "errors"}
CONDITIONED = {"embedding", "interpolation", "modulation"}
LATENT = {"attention", "latents", "targets", "harmonics"}
DRAWN = {
    "stemlight-small": ALWAYS | CONDITIONED | LATENT | {"tdf", "gates"},
    "stemlight-bands": ALWAYS | CONDITIONED | LATENT | {"tdf", "gates"},
    "lasaft-small": ALWAYS | CONDITIONED | LATENT | {"gates"},
    "lightsaft": ALWAYS | CONDITIONED | LATENT | {"gates"},
    "lasaft-v2": ALWAYS | CONDITIONED | LATENT | {"tdf", "gates", "attention-over-time"},
    "film": ALWAYS | CONDITIONED,
    "film-tdf": ALWAYS | CONDITIONED | {"tdf", "harmonics"},
    "pocm-lightsaft": ALWAYS | CONDITIONED | LATENT,
    "tfc-tdf-small": ALWAYS | {"tdf", "harmonics"},
    "tfc-small": ALWAYS,
    "tfc-tdf-multi-head": ALWAYS | {"tdf", "harmonics"},
    "tfc-tdf-v2-bass": ALWAYS | {"tdf", "harmonics"},
    "tdc-17": ALWAYS,
}


@functools.cache
def material(preset):
    """A network of two sources, so that there are few panels, and all that it can be given."""
    looked, mixture = subject(preset), noise(6000)
    if looked.known_config().network.is_conditioned:
        looked = subject(preset, sources=["vocals", "bass"])
    observation = observe(looked, mixture)
    references = {name: noise(6000, seed=n) for n, name in enumerate(looked.sources)}
    steps = {}
    if looked.known_config().network.is_conditioned:
        steps = interpolate(looked, mixture, first="vocals", second="bass", n_steps=2)
    return Material(subject=looked, observation=observation, references=references, steps=steps)


def labels_of(figure):
    figure_labels = [figure.get_supxlabel(), figure.get_supylabel()]
    return figure_labels + [
        label for axis in figure.axes for label in (axis.get_xlabel(), axis.get_ylabel())
    ]


@pytest.mark.parametrize("preset", NETWORKS)
def test_a_model_allows_the_pictures_of_what_it_has(preset):
    given = material(preset)
    assert {name for name in PICTURES if what_is_missing(name, given) is None} == DRAWN[preset]


@pytest.mark.parametrize("preset", ["lasaft-small", "stemlight-bands", "film-tdf", "tdc-17"])
def test_pictures_are_drawn_and_named_after_their_model(preset):
    given = material(preset)
    for name in DRAWN[preset]:
        figure = draw(name, given)
        assert given.subject.name in figure.get_suptitle(), name
        if name != "architecture":
            assert any(labels_of(figure)), name


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_fits_its_page_without_a_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as of layouts that collapse, or letters that no font has
        draw(name, material("lasaft-v2")).draw_without_rendering()


def test_a_figure_shows_itself_in_a_notebook():
    assert draw("architecture", material("tfc-small"))._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("preset", "name", "reason"),
    [
        ("tfc-tdf-small", "attention", "the model has no latent sources"),
        ("tfc-tdf-small", "embedding", "the model is not conditioned"),
        ("tfc-small", "tdf", "no block transforms frequencies"),
        ("lasaft-small", "tdf", "all of its blocks have latent sources"),
        ("lightsaft", "attention-over-time", "does not listen"),
        ("film", "gates", "its modulation is 'film', which has no gates"),
    ],
)
def test_what_a_model_lacks_is_refused_with_its_name_and_the_reason(preset, name, reason):
    with pytest.raises(UsageError, match=f"no picture '{name}' of 'tiny {preset}': .*{reason}"):
        draw(name, material(preset))


@pytest.mark.parametrize("name", ["gates", "spectrograms", "errors", "interpolation"])
def test_what_needs_a_song_is_refused_without_one(name):
    with pytest.raises(UsageError, match="needs a song"):
        draw(name, Material(subject=subject("lightsaft")))


def test_an_unknown_picture_is_refused_with_the_closest_name():
    with pytest.raises(UsageError, match=r"no picture 'gate' .did you mean 'gates'"):
        draw("gate", Material(subject=subject("lightsaft")))


def test_a_model_without_weights_has_an_architecture_and_spectrograms():
    looked = dataclasses.replace(subject("lightsaft"), model=None)
    heard = Observation(
        sample_rate_hz=44_100, mixture=noise(), estimates={"vocals": noise(), "drums": noise()}
    )
    given = Material(subject=looked, observation=heard)
    possible = [name for name in PICTURES if what_is_missing(name, given) is None]
    assert possible == ["architecture", "spectrograms"]
    with pytest.raises(UsageError, match="its weights are in a graph alone"):
        draw("attention", given)


def test_of_a_system_there_are_spectrograms_alone():
    looked = Subject(name="all", sources=("vocals", "drums"), sample_rate_hz=44_100)
    heard = Observation(
        sample_rate_hz=44_100, mixture=noise(), estimates={"vocals": noise(), "drums": noise()}
    )
    given = Material(subject=looked, observation=heard)
    possible = [name for name in PICTURES if what_is_missing(name, given) is None]
    assert possible == ["spectrograms"]
    with pytest.raises(UsageError, match="inspect the members of a system one by one"):
        architecture_figure(looked)


def test_references_of_another_length_or_source_are_refused():
    given = material("film")
    with pytest.raises(UsageError, match=r"'bass' has the shape \(2, 10\), the mixture \(2, 6000"):
        spectrograms_figure(given.subject, given.song, {"bass": noise(10)})
    with pytest.raises(UsageError, match="a reference of 'piano', but the model gives vocals"):
        errors_figure(given.subject, given.song, {"piano": noise(6000)})


def test_all_spectrograms_of_a_picture_have_one_scale():
    figure = draw("spectrograms", material("film"))
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert len(images) == 9
    assert {image.get_clim() for image in images} == {(-80.0, 0.0)}


def test_a_thin_line_survives_shrinking_and_keeps_its_place():
    matrix = np.zeros((2048, 2048))
    line = np.arange(1024)
    matrix[2 * line, line] = -1.0
    small, edges = shrink(matrix, np.arange(2049.0))
    assert small.shape == (256, 256)
    assert len(edges) == 257
    assert edges[-1] == 2048
    places = np.arange(128)
    assert (small[2 * places, places] == -1).all()
    assert np.count_nonzero(small) < 3 * 128


def test_rows_of_octaves_hold_the_largest_of_their_bins():
    values = np.full((1, 2049), -80.0)
    values[0, 1000] = 0.0
    rows, edges_hz = by_octaves(values, top_hz=22_050)
    (row,) = np.flatnonzero(rows[0] == 0)
    assert edges_hz[row] - 6 <= 1000 * 22_050 / 2048 <= edges_hz[row + 1] + 6

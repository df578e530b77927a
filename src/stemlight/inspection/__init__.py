"""A look inside: figures of what a model is, of what it learned, and of what it does with a song.

Figures are matplotlib's, made without pyplot, so they need no display and close themselves;
notebooks show them. Beside each figure are the functions that give its numbers. Needs the extra
`inspect`.
"""

from stemlight.inspection.architecture import Part, parts_of
from stemlight.inspection.architecture_picture import architecture_figure
from stemlight.inspection.attention import mean_attention, shared_attention
from stemlight.inspection.attention_pictures import (
    attention_figure,
    attention_over_time_figure,
)
from stemlight.inspection.condition_pictures import (
    embedding_figure,
    gates_figure,
    interpolation_figure,
    modulation_figure,
)
from stemlight.inspection.conditions import (
    control_vectors,
    distances,
    interpolate,
    modulations,
    principal_plane,
)
from stemlight.inspection.field_picture import receptive_field_figure
from stemlight.inspection.frequency_maps import (
    harmonic_profile,
    latent_maps,
    plain_maps,
    target_maps,
)
from stemlight.inspection.levels import ErrorProfile, error_profile, levels_db
from stemlight.inspection.observing import Gates, Observation, observe
from stemlight.inspection.pictures import PICTURES, Material, draw, what_is_missing
from stemlight.inspection.places import Place, places_of
from stemlight.inspection.receptive_field import (
    FieldSpan,
    MeasuredField,
    computed_field,
    measured_field,
)
from stemlight.inspection.saving import PICTURE_FORMATS, save_picture
from stemlight.inspection.sound_pictures import errors_figure, spectrograms_figure
from stemlight.inspection.subject import Subject, open_subject
from stemlight.inspection.weight_pictures import (
    harmonics_figure,
    latents_figure,
    targets_figure,
    tdf_figure,
)

__all__ = [
    "PICTURES",
    "PICTURE_FORMATS",
    "ErrorProfile",
    "FieldSpan",
    "Gates",
    "Material",
    "MeasuredField",
    "Observation",
    "Part",
    "Place",
    "Subject",
    "architecture_figure",
    "attention_figure",
    "attention_over_time_figure",
    "computed_field",
    "control_vectors",
    "distances",
    "draw",
    "embedding_figure",
    "error_profile",
    "errors_figure",
    "gates_figure",
    "harmonic_profile",
    "harmonics_figure",
    "interpolate",
    "interpolation_figure",
    "latent_maps",
    "latents_figure",
    "levels_db",
    "mean_attention",
    "measured_field",
    "modulation_figure",
    "modulations",
    "observe",
    "open_subject",
    "parts_of",
    "places_of",
    "plain_maps",
    "principal_plane",
    "receptive_field_figure",
    "save_picture",
    "shared_attention",
    "spectrograms_figure",
    "target_maps",
    "targets_figure",
    "tdf_figure",
    "what_is_missing",
]

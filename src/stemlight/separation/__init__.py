"""Separates music of any length, sample rate and channel layout with any backend."""

from stemlight.separation.backend import Backend
from stemlight.separation.combiners import KUIELAB_BLEND, Bag, Blend, Combiner, SideBySide
from stemlight.separation.ensemble import Ensemble, blend
from stemlight.separation.layouts import ChannelLayout, layout_for
from stemlight.separation.mixers import Mixer, MixerWeights, load_mixer, save_mixer
from stemlight.separation.separator import Separator
from stemlight.separation.streaming import SeparationStream

__all__ = [
    "KUIELAB_BLEND",
    "Backend",
    "Bag",
    "Blend",
    "ChannelLayout",
    "Combiner",
    "Ensemble",
    "Mixer",
    "MixerWeights",
    "SeparationStream",
    "Separator",
    "SideBySide",
    "blend",
    "layout_for",
    "load_mixer",
    "save_mixer",
]

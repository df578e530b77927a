"""Separates music of any length, sample rate and channel layout with any backend."""

from stemlight.separation.backend import Backend
from stemlight.separation.layouts import ChannelLayout, layout_for
from stemlight.separation.separator import Separator
from stemlight.separation.streaming import SeparationStream

__all__ = ["Backend", "ChannelLayout", "SeparationStream", "Separator", "layout_for"]

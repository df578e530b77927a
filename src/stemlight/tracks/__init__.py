"""Tracks with ground-truth stems: finds them, reads them and checks them.

A track is one of

- a STEM mp4 file;
- a folder with one file for each stem, called like it: `vocals.wav`;
- a folder in which `stems.yaml` says which files are which stem, several of them summed;
- a file of a folder whose `stems.yaml` says that each file is a track: a voice, a loop of drums.

A track that has some of its stems alone says so: see `TrackFiles.sources`.
"""

from stemlight.tracks.checking import DataCheck, Finding, FindingKind, check_tracks
from stemlight.tracks.files import (
    ACCOMPANIMENT,
    MIXTURE,
    SoundFile,
    StemSource,
    TrackFiles,
    mixture_and_sources,
)
from stemlight.tracks.finding import STEM_MP4_ORDER, find_tracks
from stemlight.tracks.measuring import StemMeasures, TrackMeasures, measure_track
from stemlight.tracks.musdb import SPLITS, VALIDATION_TRACKS, Split, find_split
from stemlight.tracks.stems_yaml import STEMS_YAML

__all__ = [
    "ACCOMPANIMENT",
    "MIXTURE",
    "SPLITS",
    "STEMS_YAML",
    "STEM_MP4_ORDER",
    "VALIDATION_TRACKS",
    "DataCheck",
    "Finding",
    "FindingKind",
    "SoundFile",
    "Split",
    "StemMeasures",
    "StemSource",
    "TrackFiles",
    "TrackMeasures",
    "check_tracks",
    "find_split",
    "find_tracks",
    "measure_track",
    "mixture_and_sources",
]

"""Makes training music: songs with stems, from soundfonts, samples, own synthesisers and voices.

Songs serve one purpose, that networks trained with them separate real records better. What counts
is how diverse and how lifelike timbres, playing and mixing are; nobody has to like the tunes.
"""

from stemlight.synthesis.dataset import DatasetOrder, write_songs
from stemlight.synthesis.licences import Terms
from stemlight.synthesis.material import Material, find_material
from stemlight.synthesis.songs import Song, make_song

__all__ = [
    "DatasetOrder",
    "Material",
    "Song",
    "Terms",
    "find_material",
    "make_song",
    "write_songs",
]

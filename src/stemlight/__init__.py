"""stemlight separates music into its sources."""

from stemlight._version import __version__

__all__ = ["__version__"]

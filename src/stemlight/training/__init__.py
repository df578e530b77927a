"""Training: tracks on disk, random mixtures, losses, and the run that ties them together."""

"""Networks, assembled from blocks by builders, and their named presets."""

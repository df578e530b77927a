"""Cards, checkpoints, official weights and exports: everything a model is stored in."""

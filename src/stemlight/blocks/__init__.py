"""Building blocks of the networks: plain `nn.Module`s with plain arguments.

All feature maps are `(batch, features, frames, bins)`.
"""

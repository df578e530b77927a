"""The two transforms: exact inverses, equal to each other, with planes in the named order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlight import stft, stft_torch
from stemlight.errors import UsageError

SIZES = st.sampled_from([(64, 16), (64, 32), (256, 64), (96, 32), (60, 25)])
PACKINGS = ("complex-major", "channel-major")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def window_of(n_fft, hop, n_hops, *, batch=2, channels=2):
    return noise(batch, channels, hop * max(n_hops, n_fft // 2 // hop + 1))


@settings(deadline=None, max_examples=30)
@given(size=SIZES, n_hops=st.integers(1, 20), packing=st.sampled_from(PACKINGS))
def test_inverse_returns_the_window(size, n_hops, packing):
    transform = stft.Stft(*size, packing=packing)
    mixture = window_of(*size, n_hops)
    np.testing.assert_allclose(transform.inverse(transform.forward(mixture)), mixture, atol=2e-6)


@settings(deadline=None, max_examples=30)
@given(
    size=SIZES,
    n_hops=st.integers(1, 20),
    packing=st.sampled_from(PACKINGS),
    drop=st.integers(0, 5),
)
def test_numpy_and_torch_agree_in_both_directions(size, n_hops, packing, drop):
    kept_bins = size[0] // 2 + 1 - drop
    ours = stft.Stft(*size, packing=packing, kept_bins=kept_bins)
    theirs = stft_torch.Stft(*size, packing=packing, kept_bins=kept_bins)
    mixture = window_of(*size, n_hops)
    planes = ours.forward(mixture)
    scale = np.abs(planes).max()
    np.testing.assert_allclose(planes, theirs(torch.from_numpy(mixture)), atol=1e-6 * scale)
    changed = planes * noise(*planes.shape, seed=1)
    waveform = theirs.inverse(torch.from_numpy(changed), mixture.shape[-1])
    np.testing.assert_allclose(ours.inverse(changed), waveform, atol=1e-5)


def test_threads_change_no_sample():
    mixture = noise(2, 2, 4096)
    one, two = (stft.Stft(512, 128, packing="complex-major", n_workers=n) for n in (1, 2))
    planes = one.forward(mixture)
    np.testing.assert_array_equal(planes, two.forward(mixture))
    np.testing.assert_array_equal(one.inverse(planes), two.inverse(planes))


@pytest.mark.parametrize(
    ("packing", "order"),
    [
        ("complex-major", ("left.real", "right.real", "left.imag", "right.imag")),
        ("channel-major", ("left.real", "left.imag", "right.real", "right.imag")),
    ],
)
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_planes_stand_in_the_named_order(packing, order, library):
    spectrogram = noise(1, 2, 3, 5) + 1j * noise(1, 2, 3, 5, seed=1)
    channels = {"left": spectrogram[:, 0], "right": spectrogram[:, 1]}
    if library == "numpy":
        planes = stft.pack_planes(spectrogram, packing)
        back = stft.unpack_planes(planes, packing)
    else:
        packed = stft_torch.pack_planes(torch.from_numpy(spectrogram), packing)
        back = stft_torch.unpack_planes(packed, packing).numpy()
        planes = packed.numpy()
    for index, name in enumerate(order):
        channel, part = name.split(".")
        np.testing.assert_array_equal(planes[:, index], getattr(channels[channel], part))
    np.testing.assert_array_equal(back, spectrogram)


def test_a_tone_lies_in_its_bin_in_every_frame():
    n_fft, hop = 512, 128
    tone = np.sin(2 * np.pi * 20 * np.arange(hop * 32) / n_fft).astype(np.float32)
    planes = stft.Stft(n_fft, hop, packing="complex-major").forward(tone[None, None])
    power = np.square(planes).sum(axis=1)[0, 4:-4]  # away from the reflected ends
    assert (power.argmax(axis=-1) == 20).all()


def test_a_window_that_is_no_whole_number_of_hops_is_refused_with_its_numbers():
    transform = stft.Stft(512, 128, packing="complex-major")
    with pytest.raises(UsageError, match=r"1000 samples .* multiple of 128 and longer than 256"):
        transform.forward(noise(1, 2, 1000))

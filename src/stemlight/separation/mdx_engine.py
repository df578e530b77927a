"""Runs MDX-Net graphs as they are published: KUIELab's own and the wider family of the same form.

Such an ONNX graph holds the spectrogram network of one source. Input and output are planes of the
shape `(batch, 4, dim_f, dim_t)`, bins before frames, in the order [Re L, Im L, Re R, Im R]; the
batch is free or fixed to one. `dim_f` bins are estimated, those above are silent. `dim_t` frames
fix the window's length. What the graph does not tell is the transform's `n_fft`.

Source: KUIELab-MDX-Net (2021), and its published graphs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from stemlight.chunking import ChunkPlan
from stemlight.errors import UsageError, WeightsError
from stemlight.separation.runtimes import Runtime
from stemlight.separation.sessions import OnnxRuntime, open_session
from stemlight.shapes import Float32
from stemlight.stft import Stft

__all__ = ["MdxOnnxEngine", "MdxShape", "known_n_fft", "read_mdx_shape"]

_N_PLANES = 4

# By sha256: the graphs of both leaderboards of the MDX challenge 2021.
_N_FFT_OF_KNOWN_GRAPHS = {
    # bass
    "0c3e77b9963185b1ea6bb46a4b8924137d9370fc1ccdefec7b1b416ef550dcaa": 16384,
    "b4b7080fe501d0bece62076c5d4eda4d6590c5207ed78ec84a57bac0740a061d": 16384,
    # drums
    "40f586b7091934dd6f5563f0cba8f14bad57ce88440da1098bf388ea716c2901": 4096,
    "a6fecee758059b33ed99f6dabba297439b3e7cacfac4b1097bd324aff8052208": 4096,
    # other
    "7b67a1dcb5f232153528c59960b4c7bf8dc736b8114de360af0e719633f53358": 8192,
    "b0d0b63950ac332333fea2d58f68c92fd3ab0aae071398c2a8beeae1ad15b655": 8192,
    # vocals
    "daba83c2ee1afee9139766ad64c9b6808d6b6f092fff04bed3338be50baac721": 6144,
    "9b7dcb9d878acb0f3e64ff3fd27750faae96577013f6d50f5996875bf4250713": 6144,
}


@dataclass(frozen=True)
class MdxShape:
    """What a graph of this family takes and gives; see `read_mdx_shape`."""

    dim_f: int
    """Bins that it sees and estimates, from the lowest."""
    dim_t: int
    """Frames of its window."""
    n_planes: int = _N_PLANES
    """Real planes of stereo sound."""
    one_at_a_time: bool = False
    """Whether the batch axis is fixed to one."""


def read_mdx_shape(graph: Path) -> MdxShape:
    """Read the shape of an MDX-Net graph, and so tell whether a file is one.

    Raises:
        WeightsError: the file is missing, no graph, or a graph of another form.
    """
    return _shape_of(open_session(graph, optimize=False), graph)


def known_n_fft(graph: Path) -> int | None:
    """Return the `n_fft` of a graph that KUIELab published, told by its sha256, or None.

    Raises:
        OSError: the file cannot be read.
    """
    with graph.open("rb") as file:
        return _N_FFT_OF_KNOWN_GRAPHS.get(hashlib.file_digest(file, "sha256").hexdigest())


class MdxOnnxEngine:
    """Runs the graph of one source; a `stemlight.separation.Backend`.

    `chunk_plan` is how the authors cut a song: half a frame of context at each end and no overlap.
    Any other plan with its `chunk_samples` will do.
    """

    # Eight parameters, two more than the house allows: the graph tells none of them.
    def __init__(
        self,
        graph: Path,
        *,
        source: str,
        n_fft: int | None = None,
        hop_samples: int = 1024,
        gain: float = 1.0,
        sample_rate_hz: int = 44_100,
        runtime: Runtime | None = None,
    ) -> None:
        """Load the graph; without a `runtime`, ONNX Runtime runs it on all cores.

        `n_fft` may be left out for KUIELab's own graphs. `gain` is multiplied to the estimate
        ("compensate" in the lists of the family's models).

        Raises:
            UsageError: `n_fft` is not known or does not fit the graph, or `gain` is not positive.
            WeightsError: the file is missing or no MDX-Net graph.
        """
        self.shape = read_mdx_shape(graph)
        self.graph = graph
        self.runtime: Runtime = runtime or OnnxRuntime()
        if not 0 < gain < float("inf"):
            raise UsageError(f"gain must be a factor above 0, not {gain}; 1.0 changes nothing")
        self.gain = np.float32(gain)
        self.sources = (source,)
        self.sample_rate_hz = sample_rate_hz
        self.n_channels = 2
        if n_fft is None:
            n_fft = known_n_fft(graph)
        self._check_transform(n_fft, hop_samples)
        assert n_fft is not None
        self.stft = Stft(
            n_fft,
            hop_samples,
            packing="channel-major",
            kept_bins=self.shape.dim_f,
            n_workers=self.runtime.n_threads or -1,
        )
        self._network = self.runtime(graph)

    @property
    def chunk_plan(self) -> ChunkPlan:
        """The authors' plan; its `chunk_samples` is the only window that the graph takes."""
        chunk_samples = self.stft.hop_samples * (self.shape.dim_t - 1)
        return ChunkPlan(chunk_samples=chunk_samples, trim_samples=self.stft.n_fft // 2)

    def separate_chunks(
        self, mixture: Float32[np.ndarray, "batch channels samples"], sources: Sequence[str]
    ) -> Float32[np.ndarray, "batch sources channels samples"]:
        """Separate windows; see `stemlight.separation.Backend`.

        Raises:
            UsageError: the windows have another length than the graph's.
        """
        expected = self.chunk_plan.chunk_samples
        if mixture.shape[-1] != expected:
            raise UsageError(
                f"a window of {mixture.shape[-1]} samples does not fit {self.graph}: its "
                f"{self.shape.dim_t} frames of hop {self.stft.hop_samples} are {expected} samples"
            )
        # Frames and bins change places: the graph has the bins first.
        planes = np.ascontiguousarray(self.stft.forward(mixture).swapaxes(2, 3))
        estimates = self._run(planes)
        samples = self.stft.inverse(np.ascontiguousarray(estimates.swapaxes(2, 3)))
        if self.gain != 1:
            samples *= self.gain
        assert tuple(sources) == self.sources, f"{sources} asked of {self.sources}"
        return samples[:, np.newaxis]

    def _run(
        self, planes: Float32[np.ndarray, "batch planes bins frames"]
    ) -> Float32[np.ndarray, "batch planes bins frames"]:
        n_rows = 1 if self.shape.one_at_a_time else len(planes)
        parts = []
        for first in range(0, len(planes), n_rows):
            (part,) = self._network(planes[first : first + n_rows])
            parts.append(part)
        estimates: np.ndarray = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if estimates.shape != planes.shape:  # files need not tell the output's shape beforehand
            raise WeightsError(
                f"{self.graph} is no MDX-Net graph of one source: it was given {planes.shape} and "
                f"returned {estimates.shape}"
            )
        return estimates

    def _check_transform(self, n_fft: int | None, hop_samples: int) -> None:
        """Refuse a transform with too few bins for the graph, or too long for its window."""
        # Trimming half a frame at each end has to leave something of the window.
        least = max(2 * (self.shape.dim_f - 1), 2 * hop_samples)
        most = hop_samples * (self.shape.dim_t - 1) - 2
        allowed = (
            f"an even n_fft in {least}..{most} fits the {self.shape.dim_f} bins and "
            f"{self.shape.dim_t} frames of {self.graph} at hop {hop_samples}"
        )
        if hop_samples < 1 or least > most:
            raise UsageError(
                f"hop_samples {hop_samples} does not fit the {self.shape.dim_t} frames of "
                f"{self.graph}: no n_fft is at least two hops and {least} samples long and "
                "shorter than the window"
            )
        if n_fft is None:
            raise UsageError(
                f"{self.graph} is none of KUIELab's own graphs, whose n_fft is known, and no graph "
                f"tells its own; pass n_fft ({allowed})"
            )
        if n_fft % 2 or not least <= n_fft <= most:
            raise UsageError(f"n_fft {n_fft} does not fit: {allowed}")


def _shape_of(session: onnxruntime.InferenceSession, graph: Path) -> MdxShape:
    """Check the one input and the one output; the output's axes may be unknown, not different."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        names = [value.name for value in (*inputs, *outputs)]
        raise _no_mdx_net(
            graph, f"it has {len(inputs)} inputs and {len(outputs)} outputs ({', '.join(names)})"
        )
    given, output = list(inputs[0].shape), list(outputs[0].shape)
    if inputs[0].type != "tensor(float)" or outputs[0].type != "tensor(float)":
        raise _no_mdx_net(graph, f"it takes {inputs[0].type} and gives {outputs[0].type}")
    if len(given) != 4 or given[1] != _N_PLANES or not all(map(_is_fixed, given[2:])):
        raise _no_mdx_net(graph, f"its input is {_axes(given)}")
    if _is_fixed(given[0]) and given[0] != 1:
        raise _no_mdx_net(graph, f"its batch axis is fixed to {given[0]}, not free or 1")
    if len(output) == 4 and _is_fixed(output[1]) and output[1] in (8, 12, 16):
        raise WeightsError(
            f"{graph} estimates {output[1] // _N_PLANES} sources at once ({output[1]} planes) but "
            "graphs of one source are run here; take one graph for each source"
        )
    same = len(output) in (0, 4) and all(
        not _is_fixed(after) or not _is_fixed(before) or before == after
        for before, after in zip(given, output, strict=False)
    )
    if not same:
        raise _no_mdx_net(graph, f"its input is {_axes(given)} and its output {_axes(output)}")
    return MdxShape(dim_f=given[2], dim_t=given[3], one_at_a_time=given[0] == 1)


def _is_fixed(axis: int | str | None) -> bool:
    """Tell a length from the name of a free axis, or no name."""
    return isinstance(axis, int) and axis > 0


def _axes(shape: Sequence[int | str | None]) -> str:
    return "[" + ", ".join(str(axis) if _is_fixed(axis) else "free" for axis in shape) + "]"


def _no_mdx_net(graph: Path, what: str) -> WeightsError:
    return WeightsError(
        f"{graph} is no MDX-Net graph: {what}, but one input and one output of float "
        "[batch, 4, dim_f, dim_t] are needed"
    )

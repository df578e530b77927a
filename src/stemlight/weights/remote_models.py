"""The models that can be fetched: what they are, where their files lie, and the hashes of those.

Nothing here is measured by us unless a score's command says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from stemlight.weights.cards import Score, TrainingData
from stemlight.weights.checksums import Checksum, git_blob_id, sha256

__all__ = ["REMOTE_MODELS", "RemoteFile", "RemoteModel"]


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file of a model as its authors publish it.

    With `archive_member`, `url` is a zip archive, and the checksum and size are the member's.
    """

    name: str
    url: str
    checksum: Checksum
    n_bytes: int | None = None  # None: not known
    archive_member: str | None = None
    mirrors: tuple[str, ...] = ()  # the same file elsewhere, tried in this order


@dataclass(frozen=True, kw_only=True)
class RemoteModel:
    """What is known of a model before it is fetched."""

    name: str
    summary: str
    architecture: str
    preset: str  # with `*`: one for each source
    sources: tuple[str, ...]
    licence: str
    training_data: tuple[TrainingData, ...]
    files: tuple[RemoteFile, ...]
    scores: tuple[Score, ...] = ()
    n_parameters: int | None = None

    @property
    def n_bytes(self) -> int | None:
        """Bytes of all files, or None if one of them is not known."""
        sizes = [file.n_bytes for file in self.files if file.n_bytes is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None


_LASAFT_ORDER = ("vocals", "drums", "bass", "other")
_MDX_NET_ORDER = ("bass", "drums", "other", "vocals")
_LICENCE = "MIT"

_MUSDB_TERMS = "research only, not to be redistributed; see sigsep.github.io/datasets/musdb.html"
_MUSDB_TRAINING = TrainingData(
    name="MUSDB18, 86 tracks of the training half, mixed at random (14 tracks held out)",
    terms=_MUSDB_TERMS,
)
_MUSDB_AUGMENTED = TrainingData(
    name="MUSDB18-HQ, 86 tracks of the training half, mixed at random, pitch-shifted and stretched "
    "(14 tracks held out)",
    terms=_MUSDB_TERMS,
)
_MUSDB_WITH_TEST = TrainingData(
    name="MUSDB18-HQ, training AND test half: its scores on the test tracks mean nothing",
    terms=_MUSDB_TERMS,
)

_MUSDB_METRIC = "SDR (BSS Eval v4)"
_MUSDB_AGGREGATION = "median over one-second frames, then over tracks"


def _published(stems_db: Mapping[str, float], where: str) -> Score:
    return Score(
        metric=_MUSDB_METRIC,
        aggregation=_MUSDB_AGGREGATION,
        data="MUSDB18, its 50 test tracks",
        command=f"the authors' code, published in {where}",
        average_db=round(sum(stems_db.values()) / len(stems_db), 2),
        stems_db=dict(stems_db),
    )


def _raw(repository: str, branch: str, path: str) -> str:
    return f"https://raw.githubusercontent.com/{repository}/{branch}/{quote(path)}"


def _large(repository: str, branch: str, path: str) -> str:
    """Return the address of a file that the repository keeps in Git LFS."""
    return f"https://media.githubusercontent.com/media/{repository}/{branch}/{quote(path)}"


_ZENODO = "https://zenodo.org/records/5717356/files"
_MDX_NET_BYTES = 29_703_204


def _mdx_net_a(source: str, digest: str) -> RemoteFile:
    return RemoteFile(
        name=f"{source}.onnx",
        url=f"{_ZENODO}/onnx_A.zip?download=1",
        checksum=sha256(digest),
        n_bytes=_MDX_NET_BYTES,
        archive_member=f"{source}.onnx",
    )


def _mdx_net_b(source: str, digest: str, n_bytes: int = _MDX_NET_BYTES) -> RemoteFile:
    # The branch had its files in one folder, then in the other.
    first, second = (
        _large("kuielab/mdx-net-submission", "leaderboard_B", f"{folder}/{source}.onnx")
        for folder in ("onnx", "onnx_B")
    )
    return RemoteFile(
        name=f"{source}.onnx",
        url=first,
        mirrors=(second,),
        checksum=sha256(digest),
        n_bytes=n_bytes,
    )


def _lasaft_v2(path: str, digest: str) -> tuple[RemoteFile, ...]:
    name = path.rpartition("/")[2]
    url = _raw("ws-choi/LASAFT-Net-v2", "main", f"lasaft/pretrained/{path}")
    return (RemoteFile(name=name, url=url, checksum=git_blob_id(digest)),)


_LIGHTSAFT = ("ws-choi/LightSAFT-Net-for-MDX-Challenge", "lightsaft_small_2020.ckpt")

_MODELS = (
    RemoteModel(
        name="mdx-net-a",
        summary="KUIELab-MDX-Net as submitted to leaderboard A of the Music Demixing Challenge "
        "2021, without Demucs: one TFC-TDF-U-Net v2 for each source, and the Mixer over all.",
        architecture="TFC-TDF-U-Net v2 with Mixer (KUIELab-MDX-Net)",
        preset="tfc-tdf-v2-*",
        sources=_MDX_NET_ORDER,
        licence=_LICENCE,
        training_data=(_MUSDB_AUGMENTED,),
        scores=(
            _published(
                {"vocals": 8.88, "drums": 7.09, "bass": 7.38, "other": 6.29},
                "KUIELab-MDX-Net, Music Demixing Workshop 2021",
            ),
        ),
        n_parameters=4 * 7_423_236 + 80,
        files=(
            _mdx_net_a("bass", "0c3e77b9963185b1ea6bb46a4b8924137d9370fc1ccdefec7b1b416ef550dcaa"),
            _mdx_net_a("drums", "40f586b7091934dd6f5563f0cba8f14bad57ce88440da1098bf388ea716c2901"),
            _mdx_net_a("other", "7b67a1dcb5f232153528c59960b4c7bf8dc736b8114de360af0e719633f53358"),
            _mdx_net_a(
                "vocals", "daba83c2ee1afee9139766ad64c9b6808d6b6f092fff04bed3338be50baac721"
            ),
            RemoteFile(
                name="mixer.ckpt",
                url=f"{_ZENODO}/mixer.ckpt?download=1",
                checksum=sha256("ea781bd52c6a523b825fa6cdbb6189f52e318edd8b17e6fe404f76f7af8caa9c"),
                n_bytes=1208,
            ),
        ),
    ),
    RemoteModel(
        name="mdx-net-b",
        summary="KUIELab-MDX-Net as submitted to leaderboard B of the Music Demixing Challenge "
        "2021, without Demucs: one TFC-TDF-U-Net v2 for each source. It was trained on the test "
        "tracks of MUSDB18, too: never compare it there.",
        architecture="TFC-TDF-U-Net v2 (KUIELab-MDX-Net)",
        preset="tfc-tdf-v2-*",
        sources=_MDX_NET_ORDER,
        licence=_LICENCE,
        training_data=(_MUSDB_WITH_TEST,),
        files=(
            _mdx_net_b("bass", "b4b7080fe501d0bece62076c5d4eda4d6590c5207ed78ec84a57bac0740a061d"),
            _mdx_net_b(
                "drums",
                "a6fecee758059b33ed99f6dabba297439b3e7cacfac4b1097bd324aff8052208",
                21_930_313,
            ),
            _mdx_net_b("other", "b0d0b63950ac332333fea2d58f68c92fd3ab0aae071398c2a8beeae1ad15b655"),
            _mdx_net_b(
                "vocals", "9b7dcb9d878acb0f3e64ff3fd27750faae96577013f6d50f5996875bf4250713"
            ),
        ),
    ),
    RemoteModel(
        name="lasaft-v2-light",
        summary="LASAFT-Net-v2, light: plain encoder, latent source attention in the decoder.",
        architecture="conditioned U-Net with latent source attention (LASAFT-Net-v2)",
        preset="lasaft-v2-light",
        sources=_LASAFT_ORDER,
        licence=_LICENCE,
        training_data=(_MUSDB_TRAINING,),
        n_parameters=1_910_270,
        files=_lasaft_v2("v2_light/epoch=669.ckpt", "dfe269aa25b378856cef9dc9e93de96792e36941"),
    ),
    RemoteModel(
        name="lasaft-v2-large",
        summary="LASAFT-Net-v2, large: plain encoder, latent source attention in the decoder.",
        architecture="conditioned U-Net with latent source attention (LASAFT-Net-v2)",
        preset="lasaft-v2-large",
        sources=_LASAFT_ORDER,
        licence=_LICENCE,
        training_data=(_MUSDB_TRAINING,),
        n_parameters=7_900_700,
        files=_lasaft_v2("v2_large/epoch=709.ckpt", "b9fb56e423bb2dd200649c609626d974c291acf7"),
    ),
    RemoteModel(
        name="lasaft-large-2020",
        summary="The large GPoCM-conditioned U-Net with LaSAFT blocks of the paper's second table.",
        architecture="conditioned U-Net with latent source attention (LaSAFT + GPoCM)",
        preset="lasaft-large",
        sources=_LASAFT_ORDER,
        licence=_LICENCE,
        training_data=(_MUSDB_TRAINING,),
        scores=(
            _published(
                {"vocals": 7.33, "drums": 5.68, "bass": 5.63, "other": 4.87},
                "LaSAFT, ICASSP 2021, table 2",
            ),
        ),
        n_parameters=31_541_908,
        files=(
            RemoteFile(
                name="lasaft_large_2020.ckpt",
                url=_large(
                    "ws-choi/Conditioned-Source-Separation-LaSAFT",
                    "main",
                    "assets/lasaft_large_2020.ckpt",
                ),
                checksum=sha256("d14d2dd27ed568f552be88e9ed4d8bb8ca2722e03c936ea16e8e260ab49da9f1"),
                n_bytes=378_945_635,
            ),
        ),
    ),
    RemoteModel(
        name="lightsaft-mdx",
        summary="LightSAFT as submitted to the Music Demixing Challenge 2021.",
        architecture="conditioned U-Net with light latent source attention (LightSAFT + GPoCM)",
        preset="lightsaft-mdx",
        sources=_LASAFT_ORDER,
        licence=_LICENCE,
        training_data=(_MUSDB_TRAINING,),
        n_parameters=4_159_844,
        files=(
            RemoteFile(
                name="lightsaft_small_2020.ckpt",
                url=_large(_LIGHTSAFT[0], "main", _LIGHTSAFT[1]),
                mirrors=(
                    _large(_LIGHTSAFT[0], "master", _LIGHTSAFT[1]),
                    f"http://intelligence.korea.ac.kr/assets/{_LIGHTSAFT[1]}",
                ),
                checksum=sha256("abaccde358dc06daa2faf2c0e6086731634a5260c0019e8eaecb50114aebc5bf"),
                n_bytes=50_358_956,
            ),
        ),
    ),
    RemoteModel(
        name="tdc-vocals-2020",
        summary="A vocal separator of the paper that introduced TFC-TDF: U-Net of 17 blocks of "
        "convolutions over frequency alone (TDC), each frame for itself.",
        architecture="dedicated U-Net with time-distributed convolutions (TDC)",
        preset="tdc-17",
        sources=("vocals",),
        licence=_LICENCE,
        training_data=(_MUSDB_TRAINING,),
        scores=(
            Score(
                metric="SDR (Music Demixing Challenge 2021)",
                aggregation="mean over tracks",
                data="MUSDB18, 7-second excerpts of its 50 test tracks",
                command="the authors' procedure (chunks of 64 frames, trim 5000)",
                average_db=5.17,
                stems_db={"vocals": 5.17},
            ),
        ),
        n_parameters=535_924,
        files=(
            RemoteFile(
                name="cac_tdc_17_vocals_top3.pt",
                url=_raw(
                    "ws-choi/ISMIR2020_U_Nets_SVS",
                    "master",
                    "deprecated/pretrained/cac_tdc_17_vocals_top3.pt",
                ),
                checksum=sha256("647b6b95acc25dfdb524880d18860f18cc2737b46ce4dce4ac4d7b38399ce27c"),
                n_bytes=2_289_554,
            ),
        ),
    ),
)

REMOTE_MODELS: Mapping[str, RemoteModel] = {model.name: model for model in _MODELS}
"""By name, the models that `stemlight models fetch` knows."""

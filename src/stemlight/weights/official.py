"""Reads the authors' configurations and weights into our configs and networks.

A configuration is the class of the authors' code and its constructor's arguments. Each argument is
read, or known to matter to training alone; any other is an error, by name.

Source: the repositories Conditioned-Source-Separation-LaSAFT, LightSAFT-Net-for-MDX-Challenge,
LASAFT-Net-v2, ISMIR2020_U_Nets_SVS and mdx-net.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, get_args

from stemlight.chunking import ChunkPlan
from stemlight.configs import Activation, StftConfig
from stemlight.errors import WeightsError, did_you_mean
from stemlight.models.config import SOURCES, ModelConfig, UNetConfig
from stemlight.weights.official_keys import rename_keys

if TYPE_CHECKING:
    import torch

__all__ = ["OFFICIAL_CLASSES", "convert_state_dict", "official_model"]

_CUNET = re.compile(r"DCUN_TFC_(FiLM|GPoCM)(?:_(TDF|LaSAFT|LightSAFT))?(?:_Framework)?")
_DEDICATED = re.compile(r"(TFC|TFC_TDF|TDC)_NET(?:_Framework)?")
# "WithMultiSource" is another loss of the same networks.
_SECOND = re.compile(r"AbstractLaSAFTNet(?:WithMultiSource)?/BaseNet(?:WithMultiSource)?/(\w+)")
_BLOCK_MAKERS = {
    "MkTFCLaSAFT": ("lasaft", "none"),
    "MkTFCLaSAFTGPoCM": ("lasaft", "gpocm"),
    "MkTFCLightSAFTGPoCM": ("lightsaft", "gpocm"),
}

OFFICIAL_CLASSES = (
    *(
        f"DCUN_TFC_{modulation}{transformation}"
        for modulation in ("FiLM", "GPoCM")
        for transformation in ("", "_TDF", "_LaSAFT", "_LightSAFT")
    ),
    *(f"AbstractLaSAFTNet/BaseNet/{maker}" for maker in _BLOCK_MAKERS),
    "TFC_NET",
    "TFC_TDF_NET",
    "TDC_NET",
    "ConvTDFNet",
)
"""Names that `official_model` understands; the first and third groups also with `_Framework`."""

_LEAST_TRIM_SAMPLES = 5000


class _Arguments:
    """The arguments of an official constructor; remembers which were read."""

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self._where = where
        self._values = values
        self._read: set[str] = set()

    def take(self, name: str, **default: Any) -> Any:
        self._read.add(name)
        if name not in self._values and "default" not in default:
            raise WeightsError(f"{self._where} lacks the argument {name!r}")
        return self._values.get(name, default.get("default"))

    def choose(self, name: str, choices: Mapping[Any, Any], **default: Any) -> Any:
        value = self.take(name, **default)
        if not isinstance(value, Hashable) or value not in choices:
            known = ", ".join(str(choice) for choice in choices)
            raise WeightsError(f"{self._where}: {name} is {value!r}; known are {known}")
        return choices[value]

    def flag(self, name: str, **default: Any) -> bool:
        return self.choose(name, {True: True, False: False}, **default)

    def count(self, name: str, *, least: int = 1, **default: Any) -> int:
        value = self.take(name, **default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise WeightsError(
                f"{self._where}: {name} is {value!r}; known are whole numbers from {least}"
            )
        return value

    def factor(self, name: str) -> int | None:
        """Read a count that may be None; the oldest code says it in words too."""
        return None if self.take(name) in (None, "None", "none") else self.count(name)

    def activation(self, name: str) -> Activation:
        return self.choose(name, {known: known for known in get_args(Activation)})

    def levels(self, name: str, n_levels: int) -> tuple[int, ...] | None:
        value = self.take(name, default=None)
        if value is None:
            return None
        listed = value.strip(" []()").split(",") if isinstance(value, str) else value
        try:
            named = {int(number) for number in listed}
        except (TypeError, ValueError) as error:
            raise WeightsError(
                f"{self._where}: {name} is {value!r}; known are numbers of levels, as '0,2'"
            ) from error
        # A level that there is not changes nothing in the authors' code: "-1" halves none.
        return tuple(level for level in range(n_levels) if level in named)

    def inner(self, name: str) -> _Arguments:
        value = self.take(name)
        if not isinstance(value, Mapping):
            raise WeightsError(f"{self._where}: {name} is {value!r}; known are mappings")
        return _Arguments(f"{self._where}.{name}", value)

    def check_class(self, *names: str) -> None:
        """Check that the class to be made is one of `names`, if it is said."""
        target = str(self.take("_target_", default=names[0]))
        if target.rpartition(".")[2] not in names:
            raise WeightsError(
                f"{self._where}: _target_ is {target!r}; known are {', '.join(names)}"
            )

    def ignore(self, names: str) -> None:
        """Know arguments that matter to training alone, or do nothing in the authors' code."""
        self._read.update(names.split())

    def finish(self) -> None:
        unread = sorted(set(self._values) - self._read)
        if unread:
            hint = did_you_mean(unread[0], self._read)
            raise WeightsError(f"{self._where} has unknown arguments: {', '.join(unread)}{hint}")


def official_model(
    name: str, arguments: Mapping[str, Any], *, trim_samples: int | None = None
) -> ModelConfig:
    """Translate a class of the authors' code and its constructor's arguments.

    Raises:
        WeightsError: the class, an argument or a value is unknown; the message names it.
    """
    given = _Arguments(name, arguments)
    if match := _CUNET.fullmatch(name):
        model = _first_generation(given, match[1], match[2], trim_samples)
    elif match := _DEDICATED.fullmatch(name):
        model = _dedicated(given, match[1], trim_samples)
    elif name == "ConvTDFNet":
        model = _mdx_net(given, trim_samples)
    elif match := _SECOND.fullmatch(name):
        model = _second_generation(given, match[1], trim_samples)
    else:
        raise WeightsError(
            f"unknown official class {name!r}{did_you_mean(name, OFFICIAL_CLASSES)}; "
            f"known are {', '.join(OFFICIAL_CLASSES)}"
        )
    given.finish()
    return model


def _surroundings(
    given: _Arguments,
    settings: dict[str, Any],
    sources: tuple[str, ...],
    trim_samples: int | None,
) -> ModelConfig:
    """Read what all but MDX-Net say about transform and windows."""
    if settings["head_activation"] == settings["activation"]:
        settings = settings | {"head_activation": None}  # one model, one way to write it
    network = UNetConfig(**settings)
    hop_samples, n_frames = given.count("hop_length"), given.count("num_frame")
    stft = StftConfig(
        n_fft=given.count("n_fft"),
        hop_samples=hop_samples,
        representation=given.choose("spec_type", {"complex": "complex", "magnitude": "magnitude"}),
    )
    if trim_samples is None:
        trim_samples = math.ceil(_LEAST_TRIM_SAMPLES / hop_samples) * hop_samples
    chunk = ChunkPlan(chunk_samples=stft.window_samples(n_frames), trim_samples=trim_samples)
    return ModelConfig(stft=stft, network=network, chunk=chunk, sources=sources)


def _source_names(n_sources: int) -> tuple[str, ...]:
    if n_sources == len(SOURCES):
        return SOURCES
    return tuple(f"source-{index + 1}" for index in range(n_sources))


_ESTIMATES = {"mapping": "mapping", "masking": "masking"}
_BLOCKS = {"encoder": "encoder", "decoder": "decoder", "full": "all"}
_TRAINING = """optimizer lr auto_lr_schedule train_loss val_loss dev_mode initializer name
    layer_level_init_weight unfreeze_stft_from tif_init_mode"""
# Of other classes of the same repository; the authors' code drops what a class does not take.
_FOREIGN = """tfc_activation tdc_activation tfc_tdf_activation tfc_tdf_bias bn_factor min_bn_units
    num_tdfs dk film_type gamma_activation beta_activation pocm_type pocm_norm condition_to
    control_type control_vector_type"""


def _unet_basics(given: _Arguments) -> dict[str, Any]:
    """Read what the first generation and the dedicated networks share."""
    given.ignore(_TRAINING)
    given.ignore(_FOREIGN)
    given.ignore("f_down_layers")  # which does nothing in the authors' code
    return {
        "n_blocks": given.count("n_blocks"),
        "features": (given.count("internal_channels"),),
        "n_planes": given.count("input_channels"),
        "n_tfc_layers": given.count("n_internal_layers"),
        "kernel_bins": given.count("kernel_size_f"),
        "head_activation": given.activation("first_conv_activation"),
        "tail_activation": given.activation("last_activation"),
        "resampling_activation": "identity",
        "estimate": given.choose("spec_est_mode", _ESTIMATES),
    }


def _tdf_settings(given: _Arguments) -> dict[str, Any]:
    return {
        "bn_factor": given.factor("bn_factor"),
        "min_bn_units": given.count("min_bn_units", least=0),
        "bias": given.flag("tfc_tdf_bias"),
        "activation": given.activation("tfc_tdf_activation"),
    }


def _first_generation(
    given: _Arguments, modulation: str, transformation: str | None, trim_samples: int | None
) -> ModelConfig:
    n_sources = given.count("control_input_dim")
    settings = _unet_basics(given) | {
        "n_sources": n_sources,
        "kernel_frames": given.count("kernel_size_t"),
        "halved_frames": given.levels("t_down_layers", given.count("n_blocks") // 2),
        "transformation": (transformation or "none").lower(),
        # The published code conditions the attention of all blocks, whatever is modulated.
        "latent_blocks": "all",
        "modulated_blocks": given.choose("condition_to", _BLOCKS),
        "conditioner": "shared",
        "embedding_dim": given.choose(
            "control_vector_type",
            {"embedding": given.count("embedding_dim"), "one_hot_mode": n_sources},
        ),
        "n_control_layers": given.count("control_n_layer") - 1,
    }
    given.choose("control_type", {"dense": None})
    if transformation is None:
        settings["activation"] = given.activation("tfc_activation")
    else:
        settings |= _tdf_settings(given)
    if transformation in ("LaSAFT", "LightSAFT"):
        settings |= {"n_latents": given.count("num_tdfs"), "key_dim": given.count("dk")}
    if transformation == "LightSAFT":
        settings |= {"latent_order": "latents-first", "norm_after_widening": True}
    if modulation == "FiLM":
        settings |= {
            "modulation": given.choose("film_type", {"complex": "film", "simple": "film-simple"}),
            "gamma_activation": given.activation("gamma_activation"),
            "beta_activation": given.activation("beta_activation"),
        }
    else:
        settings |= {
            "modulation": "gpocm",
            "normalize_modulation": given.choose("pocm_norm", {"batch_norm": True, None: False}),
            "gamma_order": given.choose("pocm_type", {"matmul": "in-first", "naive": "out-first"}),
        }
    return _surroundings(given, settings, _source_names(n_sources), trim_samples)


def _dedicated(given: _Arguments, kind: str, trim_samples: int | None) -> ModelConfig:
    settings = _unet_basics(given) | {"n_sources": 1, "transformation": "none"}
    if kind == "TDC":
        # One frame at a time, and frames are never halved.
        settings |= {
            "kernel_frames": 1,
            "halved_frames": (),
            "activation": given.activation("tdc_activation"),
        }
        given.ignore("t_down_layers kernel_size_t")
    else:
        settings |= {
            "kernel_frames": given.count("kernel_size_t"),
            "halved_frames": given.levels("t_down_layers", given.count("n_blocks") // 2),
        }
    if kind == "TFC":
        settings["activation"] = given.activation("tfc_activation")
    if kind == "TFC_TDF":
        tdf = _tdf_settings(given)
        settings |= tdf | {"transformation": "tdf", "affine_tdf_norm": tdf["bias"]}
    source = given.take("target_name", default="vocals")
    return _surroundings(given, settings, (source,), trim_samples)


def _second_generation(given: _Arguments, maker: str, trim_samples: int | None) -> ModelConfig:
    given.ignore(_TRAINING)
    # These are repeated where they take effect, in the inner mappings.
    given.ignore("norm query_listen key_listen")
    network, estimate = given.inner("spec2spec"), given.choose("spec_est_mode", _ESTIMATES)
    block, down, up = (network.inner(name) for name in ("mk_block_f", "mk_ds_f", "mk_us_f"))
    if maker not in _BLOCK_MAKERS:
        hint = did_you_mean(maker, _BLOCK_MAKERS)
        raise WeightsError(
            f"unknown official block {maker!r}{hint}; known are {', '.join(_BLOCK_MAKERS)}"
        )
    given.check_class("AbstractLaSAFTNet", "AbstractLaSAFTNetWithMultiSource")
    network.check_class("BaseNet", "BaseNetWithMultiSource")
    block.check_class(maker)
    down.check_class("MKConvDS")
    up.check_class("MkConvTransposeUS")
    transformation, modulation = _BLOCK_MAKERS[maker]
    conditioned = network.choose("condition_to", _BLOCKS)
    n_sources = network.count("control_input_dim")
    # What is called one-hot starts so, but is learned: an embedding of as many numbers as sources.
    control, embedding_dim = network.choose(
        "control_vector_type",
        {
            "embedding": ("embedding", network.count("embedding_dim")),
            "linear": ("linear", network.count("embedding_dim")),
            "one_hot_mode": ("embedding", n_sources),
        },
    )
    # The authors' LaSAFT with a modulation never listens, whatever it is told.
    listens = maker != "MkTFCLaSAFTGPoCM"
    settings = {
        "n_blocks": network.count("n_blocks"),
        "features": (network.count("internal_channels"),),
        "n_planes": network.count("input_channels"),
        "n_sources": n_sources,
        "n_tfc_layers": block.count("num_layers"),
        "kernel_frames": block.count("kt"),
        "kernel_bins": block.count("kf"),
        "transformation": transformation,
        "modulation": modulation,
        "latent_blocks": conditioned,
        "modulated_blocks": conditioned,
        "bn_factor": block.factor("bn_factor"),
        "min_bn_units": block.count("min_bn_units", least=0),
        "bias": block.flag("bias"),
        "activation": block.activation("activation"),
        "n_latents": block.count("num_tdfs"),
        "key_dim": block.count("dk"),
        "query_listens": listens and block.flag("query_listen", default=False),
        "key_listens": listens and block.flag("key_listen", default=False),
        "control": control,
        "embedding_dim": embedding_dim,
        "norm": _agreed_norm(network, block, down, up),
        "head_activation": network.activation("first_conv_activation"),
        "tail_activation": network.activation("last_activation"),
        "resampling_activation": _agreed_activation(down, up),
        "estimate": estimate,
    }
    network.ignore("n_fft n_internal_layers")
    block.ignore("gr condition_dim query_listen key_listen")
    for part in (network, block, down, up):
        part.finish()
    return _surroundings(given, settings, _source_names(n_sources), trim_samples)


def _agreed_norm(*parts: _Arguments) -> Any:
    kinds = {"bn": "batch", "gn": "group", "in": "instance"}
    found = {part.choose("norm", kinds, default="bn") for part in parts}
    if len(found) > 1:
        raise WeightsError(f"norms differ within one network: {', '.join(sorted(found))}")
    return found.pop()


def _agreed_activation(down: _Arguments, up: _Arguments) -> Activation:
    found = down.activation("activation")
    if found != up.activation("activation"):
        raise WeightsError("activations of down- and up-sampling differ within one network")
    return found


def _mdx_net(given: _Arguments, trim_samples: int | None) -> ModelConfig:
    given.ignore("lr optimizer")
    n_fft, hop_samples = given.count("n_fft"), given.count("hop_length")
    stft = StftConfig(
        n_fft=n_fft,
        hop_samples=hop_samples,
        packing="channel-major",
        kept_bins=given.count("dim_f"),
    )
    n_blocks, growth_channels = given.count("num_blocks"), given.count("g")
    factor = None if given.take("bn") is None else given.count("bn", least=0)
    network = UNetConfig(
        n_blocks=n_blocks,
        features=tuple(growth_channels * (level + 1) for level in range(n_blocks // 2 + 1)),
        n_sources=1,
        n_planes=given.count("dim_c"),
        n_tfc_layers=given.count("l"),
        dense=False,
        kernel_frames=given.count("k"),
        kernel_bins=given.count("k"),
        # In the authors' code no factor means no transformation, zero a single layer.
        transformation="none" if factor is None else "tdf",
        bn_factor=factor or None,
        min_bn_units=1,
        bias=given.flag("bias"),
        head="pointwise",
        merge_skip="multiply",
    )
    overlap = given.count("overlap", least=0, default=n_fft // 2)
    chunk = ChunkPlan(
        chunk_samples=stft.window_samples(given.count("dim_t")),
        trim_samples=overlap if trim_samples is None else trim_samples,
    )
    return ModelConfig(
        stft=stft, network=network, chunk=chunk, sources=(given.take("target_name"),)
    )


def convert_state_dict(official: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename an official state dict for `load_state_dict(..., strict=True)`.

    Shapes change in three places: LASAFT-Net-v2 stores keys with two leading axes of length one;
    TDC networks store convolutions over bins alone without the axis of frames, and the oldest one
    its two ends with bins before frames.
    """
    converted = {}
    for old, new in rename_keys(official).items():
        tensor = official[old]
        if tensor.is_floating_point():
            tensor = tensor.float()
        if new.endswith("attention.keys") and tensor.ndim == 4:
            tensor = tensor[0, 0]
        elif tensor.ndim == 3 and new.endswith(".weight"):
            tensor = tensor.unsqueeze(2)
        elif new in ("head.0.weight", "tail.weight") and tensor.shape[-2:] == (2, 1):
            tensor = tensor.transpose(-1, -2)
        converted[new] = tensor
    return converted

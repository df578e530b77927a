"""Networks that are spread over processes, for those too large for one (FSDP)."""

from __future__ import annotations

from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

from stemlight.errors import ConfigError
from stemlight.training.recipe import Recipe
from stemlight.training.task import SeparationTask

__all__ = ["ShardedTask", "refuse_unsharded", "sharding_strategy"]


class ShardedTask(SeparationTask):
    """Keeps a share of all weights in each process; a block is whole while it computes."""

    def configure_model(self) -> None:
        """Spread each block by itself, and what is left of the network together."""
        assert self.device_mesh is not None
        mesh = self.device_mesh["data_parallel"]
        network = self.model.network
        for block in (*network.encoders, network.middle, *network.decoders):
            fully_shard(block, mesh=mesh)
        fully_shard(network, mesh=mesh)
        register_fsdp_forward_method(network, "forward_pairs")


def sharding_strategy(n_processes: int) -> ModelParallelStrategy:
    """Return the strategy that a `ShardedTask` needs; checkpoints are whole files as ever."""
    return ModelParallelStrategy(
        data_parallel_size=n_processes,
        tensor_parallel_size=1,
        save_distributed_checkpoint=False,
    )


def refuse_unsharded(recipe: Recipe) -> None:
    """Refuse what needs whole weights.

    Raises:
        ConfigError: the recipe asks for it.
    """
    reasons = {
        "ema_decay must be null": recipe.ema_decay is not None,
        "optimizer.kind must not be muon": recipe.optimizer.kind == "muon",
        "train_only must be all": recipe.train_only != "all",
        "hardware.compile must be false": recipe.hardware.compile,
        "hardware.devices or nodes must be more than 1": (
            recipe.hardware.devices * recipe.hardware.nodes == 1
        ),
    }
    for reason, is_wrong in reasons.items():
        if is_wrong:
            raise ConfigError(f"{reason} with hardware.strategy fsdp; or choose ddp")

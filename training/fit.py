"""Runs one experiment: data, task, trainer, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from omegaconf import DictConfig, OmegaConf

from engine.errors import EOTranslateError
from training.export import commit
from training.memory import keep_freed_memory
from training.tasks.generator import GeneratorTask

LAST = "last.ckpt"


def fit(config: DictConfig) -> Path:
    """Train, or continue to train, one experiment.

    Everything random is keyed by (seed, sample number), and a checkpoint holds all weights and both
    optimizers' states: a run that is killed and started again ends with the same weights, bit for bit, on
    the same machine.

    Returns:
        The best checkpoint by ``config.monitor``, or the last where that is null.
    """
    keep_freed_memory()
    torch.set_num_threads(config.threads)
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    config.commit = config.commit or commit()
    OmegaConf.save(config, output / "config.yaml", resolve=True)
    task, data = build(config)
    checkpoints = _checkpoints(config, output)
    logger = TensorBoardLogger(output, name="", version="log")
    trainer = L.Trainer(
        **config.trainer,
        callbacks=[*checkpoints, *_grids(config)],
        plugins=[WholeCheckpoints()],
        logger=logger,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
    begun = config.resume and (output / LAST).exists()
    try:
        trainer.fit(task, data, ckpt_path=output / LAST if begun else None, weights_only=True)
    except EOTranslateError as error:
        raise type(error)(_sentence(error)) from None
    return Path(checkpoints[0].best_model_path)


class KeptCheckpoint(ModelCheckpoint):
    """Checkpoints that stay; Lightning takes callbacks of equal settings for one and the same."""

    @property
    def state_key(self) -> str:
        """Not that of the last checkpoint, whatever the interval."""
        return f"Kept{super().state_key}"


def _sentence(error: EOTranslateError) -> str:
    """The error's own words: torch wraps those of a reading process in a traceback."""
    last = str(error).strip().splitlines()[-1]
    return last.partition(f"{type(error).__name__}: ")[2] or last


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are complete or not there: a run killed while it writes keeps the one before."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Path, storage_options: Any = None) -> None:
        """See Lightning's ``CheckpointIO``."""
        path = Path(path)
        part = path.with_name(path.name + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, part)
        part.replace(path)


def _grids(config: DictConfig) -> list[L.Callback]:
    """Pictures of samples, where the recipe asks for them."""
    return [instantiate(config.grids, _convert_="all")] if config.get("grids") else []


def _checkpoints(config: DictConfig, output: Path) -> list[ModelCheckpoint]:
    """The best by ``config.monitor``, the last, and those to keep."""
    shared = {"dirpath": output, "enable_version_counter": False}
    found = [ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **shared)]
    if config.monitor:
        best = ModelCheckpoint(
            filename="best", monitor=config.monitor, save_on_train_epoch_end=False, **shared
        )
        found.insert(0, best)
    if config.keep_every:
        kept = {"every_n_epochs": config.keep_every, "save_top_k": -1, "save_on_train_epoch_end": True}
        found.append(KeptCheckpoint(filename="{step}", **kept, **shared))
    return found


def build(config: DictConfig) -> tuple[GeneratorTask, L.LightningDataModule]:
    """Task and data of an experiment, weights seeded."""
    torch.manual_seed(config.seed)
    network = instantiate(config.network, _convert_="all")
    task = instantiate(config.task, network=network, _convert_="all")
    return task, instantiate(config.data, _convert_="all")

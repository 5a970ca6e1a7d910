"""Runs one experiment: data, task, trainer, checkpoints."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from training.export import commit
from training.tasks.generator import GeneratorTask

LAST = "last.ckpt"


def fit(config: DictConfig) -> Path:
    """Train, or continue to train, one experiment.

    Everything random is keyed by (seed, sample number), and a checkpoint holds all weights and both
    optimizers'
    states: a run that is killed and started again ends with the same weights, bit for bit, on the same
    machine.

    Returns:
        The best checkpoint by the rule in ``config.task.selection``.
    """
    torch.set_num_threads(config.threads)
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    config.commit = config.commit or commit()
    OmegaConf.save(config, output / "config.yaml", resolve=True)
    task, data = build(config)
    best, last = _checkpoints(output)
    logger = TensorBoardLogger(output, name="", version="log")
    trainer = L.Trainer(
        **config.trainer,
        callbacks=[best, last],
        logger=logger,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
    begun = config.resume and (output / LAST).exists()
    trainer.fit(task, data, ckpt_path=output / LAST if begun else None, weights_only=True)
    return Path(best.best_model_path)


def _checkpoints(output: Path) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """The best by the selection rule, and the last, each once an epoch."""
    shared = {"dirpath": output, "enable_version_counter": False, "save_on_train_epoch_end": False}
    return ModelCheckpoint(filename="best", monitor="val/rank", **shared), ModelCheckpoint(
        filename="last", **shared
    )


def build(config: DictConfig) -> tuple[GeneratorTask, L.LightningDataModule]:
    """Task and data of an experiment, weights seeded."""
    torch.manual_seed(config.seed)
    network = instantiate(config.network, _convert_="all")
    task = instantiate(config.task, network=network, _convert_="all")
    return task, instantiate(config.data, _convert_="all")

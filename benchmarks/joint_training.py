"""A training step of ``eo-train`` against a plain PyTorch loop of the same network, batch and precision."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import lightning as L
import numpy as np
import torch
from common import Bench, Row
from torch import Tensor
from torch.utils.data import default_collate

from engine.models.encodings import Reflectance
from engine.models.joint_schema import Group, GroupBand, Latent
from engine.networks.cop_gen import CopGen
from training.datasets.latent_store import StoreInfo, StoreWriter
from training.datasets.latents import Drawing, LatentsModule
from training.tasks.joint_diffusion import JointDiffusionTask, Optimisation, denoiser

BAR = ">= 0.98"
THREADS = 1
BATCH, TURN, TURNS = 2, 2, 10
WIDTH, DEPTH, HEADS = 192, 6, 4
MODALITIES = ("dem", "s1_rtc", "s2_l1c", "s2_l2a")


def measure(bench: Bench) -> list[Row]:
    """Latents, groups and tokens of COP-GEN-Beta through a smaller network, on the CPU in float32.

    CPU seconds decide: one thread does all the work on both sides, whatever else the machine does.
    """
    torch.set_num_threads(THREADS)
    side = 16 if bench.quick else 32
    groups = tuple(_group(name, side) for name in MODALITIES)
    store = write_store(bench.scratch / "latents", groups)
    turns = interleaved(groups, store, 3 if bench.quick else TURNS)
    ratios = {clock: turns.ratio(clock) for clock in ("cpu", "wall")}
    detail = {
        "eo_train_s": turns.ours,
        "plain_s": turns.plain,
        "wall_ratio": ratios["wall"],
        "steps_a_turn": TURN,
        "batch": BATCH,
        "tokens": len(groups) * ((side // 2) ** 2 + 1),
        "parameters": sum(p.numel() for p in _network(groups).parameters()),
        "threads": THREADS,
    }
    what = "training steps/CPU s, eo-train with reading and drawing / plain loop on a batch in memory"
    return [Row(what, ratios["cpu"], "", BAR, detail)]


def interleaved(groups: tuple[Group, ...], store: Path, turns: int) -> Turns:
    """A run of ``eo-train``'s task and data, with turns of the plain loop in between."""
    torch.manual_seed(0)
    task = JointDiffusionTask(_network(groups), Optimisation(rise_steps=1))
    data = LatentsModule(str(store), store, Drawing(0, BATCH, steps_per_epoch=TURN * (turns + 1)))
    data.setup()
    batch = default_collate([data.train_dataloader().dataset[i] for i in range(BATCH)])
    timer = Turns(plain_loop(task, batch))
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[timer],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(task, data)
    return timer


class Turns(L.Callback):
    """Times a few steps of the run, then as many of the plain loop, and so on; the first turns warm up.

    Attributes:
        ours: (CPU, wall) seconds of each turn.
        plain: The same of the plain loop.
    """

    def __init__(self, plain_steps: Callable[[], None]) -> None:
        self._plain_steps = plain_steps
        self.ours: list[tuple[float, float]] = []
        self.plain: list[tuple[float, float]] = []

    def ratio(self, clock: str) -> float:
        """Median of plain / ours over the turns."""
        place = ("cpu", "wall").index(clock)
        pairs = zip(self.ours[1:], self.plain[1:], strict=True)
        return statistics.median(plain[place] / ours[place] for ours, plain in pairs)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start of the first turn."""
        self._started = _now()

    def on_train_batch_end(self, trainer: L.Trainer, *arguments: object) -> None:
        """End of a turn: the plain loop's follows; then the next one starts."""
        if trainer.global_step % TURN:
            return
        self.ours.append(_since(self._started))
        started = _now()
        self._plain_steps()
        self.plain.append(_since(started))
        self._started = _now()


def _now() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _since(started: tuple[float, float]) -> tuple[float, float]:
    cpu, wall = _now()
    return cpu - started[0], wall - started[1]


def plain_loop(task: JointDiffusionTask, batch: dict) -> Callable[[], None]:
    """The same steps without Lightning, data set or logging: forward, loss, backward, AdamW, average."""
    network, average = copy.deepcopy(task.network), copy.deepcopy(task.average)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=2e-4, betas=(0.99, 0.99), weight_decay=0.03, fused=True
    )
    latents = [batch["latent"][name] for name in task.names]
    noises = [batch["noise"][name] for name in task.names]
    times = list(batch["time"].unbind(dim=1))

    def factor(table: Tensor, time_: Tensor) -> Tensor:
        return table[time_][:, None, None, None]

    def steps() -> None:
        for _ in range(TURN):
            noisy = [
                factor(task.alphas, time_) * latent + factor(task.sigmas, time_) * noise
                for latent, noise, time_ in zip(latents, noises, times, strict=True)
            ]
            answers = network(noisy, [time_.float() for time_ in times])
            loss = sum(
                (answer - noise).square().mean() for answer, noise in zip(answers, noises, strict=True)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1e-4)

    return steps


def write_store(folder: Path, groups: tuple[Group, ...], count: int = 64) -> Path:
    """A store of random moments."""
    rng = np.random.default_rng(0)
    writer = StoreWriter(folder, StoreInfo(groups=groups, source="benchmark"))
    shapes = {g.name: (2 * g.latent.channels, g.latent.height, g.latent.width) for g in groups}
    for number in range(count):
        sample = {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
        writer.add({f"place_{number}": sample})
    return folder


def _network(groups: tuple[Group, ...]) -> CopGen:
    listed = [group.model_dump(mode="json", exclude_none=True) for group in groups]
    return denoiser(listed, WIDTH, DEPTH, HEADS)


def _group(name: str, side: int) -> Group:
    return Group(
        name=name,
        modality=name,
        latent=Latent(channels=4, height=side, width=side, scale=0.18215, autoencoder="autoencoder"),
        encoding=Reflectance(kind="reflectance"),
        bands=(GroupBand(name="B04"),),
    )

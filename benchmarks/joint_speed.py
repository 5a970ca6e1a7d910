"""Samples a second of joint diffusion at its published size against a plain loop over the same network."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common import Bench, Row
from joint_models import MIDDLE, PUBLISHED, job, package
from torch import Tensor

from engine.joint_settings import JointSettings, joint_settings
from engine.models import store
from engine.models.item import ModelItem
from engine.networks.cop_gen import CopGen
from engine.samplers.schedule import TRAINING_STEPS
from engine.samplers.staged import plan_stages
from engine.translators.base import close_warm, warm_translator
from engine.translators.joint_diffusion import JointTranslator, Rows
from engine.translators.joint_networks import load_denoiser

THREADS, STEPS, ROUNDS, SEED = 2, 2, 3, 1
WINDOW_SIDE = 256
BAR = ">= 0.98"
Array = np.ndarray


def measure(bench: Bench) -> list[Row]:
    """On the CPU in float32; in quick runs a tenth of the size."""
    folder = package(bench.scratch / "speed", MIDDLE if bench.quick else PUBLISHED)
    item = store.find(folder)
    # What the two are asked for; no raster is read.
    settings = joint_settings(job(bench, folder, WINDOW_SIDE, steps=STEPS, stages=1), item)
    translator = warm_translator(item, "cpu", THREADS, "float32")
    rows = batch(item, translator.batch)
    plain = PlainLoop(load_denoiser(item), rows)
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(ROUNDS + 1):
        seconds["plain"].append(seconds_of(plain.sample))
        seconds["ours"].append(seconds_of(lambda: sampled(translator, rows, settings)))
    close_warm()
    ratios = [a / b for a, b in zip(seconds["plain"][1:], seconds["ours"][1:], strict=True)]
    detail = {**seconds, "steps": STEPS, "batch": len(rows), "threads": THREADS}
    what = f"{item.total_parameters / 1e6:.0f} M parameters, float32, {STEPS} steps, batch {len(rows)}"
    ours = len(rows) / min(seconds["ours"][1:])
    return [
        Row(f"{what}: samples/s / those of a plain loop", statistics.median(ratios), "", BAR, detail),
        Row(f"{what}: samples", ours, "1/s"),
    ]


def batch(item: ModelItem, count: int) -> Rows:
    """Windows side by side, relief and radar given, as latents that an autoencoder could have made."""
    random = np.random.default_rng(SEED)
    groups = {group.name: group for group in item.groups}
    conditions = {}
    for name in ("dem", "s1_rtc"):
        latent = groups[name].latent
        mean = random.standard_normal((count, latent.channels, latent.height, latent.width), dtype=np.float32)
        conditions[name] = np.concatenate([mean, np.full_like(mean, -10.0)], axis=1)
    corners = {name: [(0, 24 * number) for number in range(count)] for name in groups}
    return Rows(tuple(range(count)), corners, conditions, None)


def sampled(translator: JointTranslator, rows: Rows, settings: JointSettings) -> dict[str, Array]:
    """One call as a scene makes it: draws the noise and the conditions, and comes back with latents."""
    (stage,) = plan_stages(settings.steps, settings.stages, settings.solver)
    return translator.run(stage, rows, settings, SEED, 0, lambda: None)


class PlainLoop:
    """The least that a sampler can do in PyTorch: noise in memory, one network, one state, first order.

    Args:
        network: Reads all groups.
        rows: What is given; the other groups start as noise.
        device: What it runs on, in float32.
        steps: Evaluations of the network.
    """

    def __init__(self, network: CopGen, rows: Rows, device: str = "cpu", steps: int = STEPS) -> None:
        self._steps = steps
        self._network, self._wanted = network.to(device), "s2_l2a"
        generator = torch.Generator().manual_seed(SEED)
        self._latents = {
            group.name: torch.randn(len(rows), *group.shape, generator=generator).to(device)
            for group in network.groups
        }
        for name, moments in rows.conditions.items():
            self._latents[name] = torch.from_numpy(moments[:, : moments.shape[1] // 2]).to(device)
        clean = torch.zeros(len(rows), device=device)
        self._times = dict.fromkeys(rows.conditions, clean)

    @torch.inference_mode()
    def sample(self) -> Tensor:
        """Latents of the wanted group."""
        latents, names = dict(self._latents), [group.name for group in self._network.groups]
        for step in range(self._steps):
            time_ = torch.full_like(
                next(iter(self._times.values())), TRAINING_STEPS * (1 - step / self._steps)
            )
            noise = self._network(
                [latents[name] for name in names], [self._times.get(name, time_) for name in names]
            )
            latents[self._wanted] = latents[self._wanted] - noise[names.index(self._wanted)] / self._steps
        return latents[self._wanted]


def seconds_of(call: Callable[[], Any]) -> float:
    """Wall seconds."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started

"""Joint diffusion at its published size on a GPU, in half precision and compiled; for ``gpu.py``."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Bench
from joint_models import PUBLISHED, Size, job, package
from joint_speed import SEED, WINDOW_SIDE, PlainLoop, batch, seconds_of
from numpy.typing import NDArray

from engine.joint_settings import JointSettings, joint_settings
from engine.models import store
from engine.samplers.staged import plan_stages
from engine.translators.base import close_warm, warm_translator
from engine.translators.joint_diffusion import JointTranslator, Rows
from engine.translators.joint_networks import load_denoiser

STEPS, ROUNDS = 10, 3
BAR = ">= 5"
GROUP = "s2_l2a"


def measured(device: str, size: Size = PUBLISHED) -> dict[str, Any]:
    """The engine's fast profile in bfloat16 against a plain float32 loop, and what it costs.

    Args:
        device: ``cuda``, or ``cpu`` to try this program out.
        size: Of the model.

    Returns:
        Seconds of each round, their ratio, and how far the images are from float32's, in deviations.
    """
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        item = store.find(package(bench.scratch / "gpu", size))
        settings = joint_settings(job(bench, str(item.folder), WINDOW_SIDE, steps=STEPS, stages=1), item)
        exact = warm_translator(item, device, None, "float32")
        rows = batch(item, exact.batch)
        expected = image(exact, rows, settings)
        plain = PlainLoop(load_denoiser(item), rows, device, STEPS)
        plain_s = [seconds_of(lambda: waited(device, plain.sample)) for _ in range(ROUNDS + 1)][1:]
        fast = warm_translator(item, device, None, "bfloat16", "fast")
        found = image(fast, rows, settings)  # compiles
        ours_s = [seconds_of(lambda: sampled(fast, rows, settings)) for _ in range(ROUNDS + 1)][1:]
        spread = float(expected.std())
        close_warm()
    return {
        "model": f"{item.total_parameters / 1e6:.0f} M parameters",
        "batch": len(rows),
        "steps": STEPS,
        "plain_float32_s": plain_s,
        "ours_bfloat16_s": ours_s,
        "samples_per_s": len(rows) / min(ours_s),
        "times_plain_loop": statistics.median(plain_s) / statistics.median(ours_s),
        "bar": BAR,
        # Random weights give images of little contrast, so the difference is told in units of it.
        "image_difference_rms_over_std": float(np.sqrt(np.mean((found - expected) ** 2))) / spread,
        "image_difference_largest_over_std": float(np.abs(found - expected).max()) / spread,
    }


def sampled(
    translator: JointTranslator, rows: Rows, settings: JointSettings
) -> dict[str, NDArray[np.float32]]:
    """Latents of a batch, back in memory."""
    (stage,) = plan_stages(settings.steps, settings.stages, settings.solver)
    return translator.run(stage, rows, settings, SEED, 0, lambda: None)


def image(translator: JointTranslator, rows: Rows, settings: JointSettings) -> NDArray[np.float32]:
    """(B, C, H, W) of the wanted group."""
    return translator.decode(GROUP, sampled(translator, rows, settings)[GROUP])


def waited(device: str, call: Any) -> None:
    """A call whose kernels have ended."""
    call()
    if device == "cuda":
        torch.cuda.synchronize()

"""``eo-train students``: time and quality of few-step students beside their teacher, on held-out patches."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from rich.table import Table
from torch import Tensor

from engine.errors import InputError
from engine.models.joint_schema import Group
from engine.networks.kl_autoencoder import LatentCodec
from engine.samplers.any_to_any import JointDenoiser
from engine.samplers.keyed_noise import KeyedNoise, Noise
from engine.samplers.prediction import schedule_of
from engine.samplers.staged import plan_stages, run_stage
from training.datasets.latent_store import open_store
from training.datasets.latents import Drawing, LatentSamples, split
from training.evaluate import SCORES_NAME
from training.evaluate_joint import known_latents
from training.joint_models import JointModel, is_run, load_codecs_of, load_model, load_teacher
from training.metrics.students import NAMES, Drawn, scores

DIGITS = 4
_SEED = 4
Run = tuple[JointModel, int, float]  # model, steps, guidance


@dataclass(frozen=True)
class Comparison:
    """What is compared, on what.

    Attributes:
        teacher: Package or run.
        store: Folder of the latents.
        held_out: Locations to compare on; see ``split``.
        names: See ``LatentsModule``.
        teacher_steps: Of the teacher.
        steps: Of the students, and of the teacher too, to show what few steps give without distillation.
        guidance: Of the teacher.
        patches: At most so many held-out patches, evenly chosen.
        draws: Samples of each, at once.
        device: Of torch.
    """

    teacher: str
    store: str
    held_out: Sequence[str]
    names: Mapping[str, str] = field(default_factory=dict)
    teacher_steps: int = 50
    steps: Sequence[int] = (1, 2)
    guidance: float = 0.0
    patches: int = 16
    draws: int = 4
    device: str = "cpu"


@dataclass(frozen=True)
class Task:
    """One modality of one patch from all others that the patch has."""

    number: int
    wanted: tuple[Group, ...]
    conditions: Mapping[str, Tensor]
    truth: Mapping[str, Tensor]


@dataclass
class Made:
    """What one run made of all tasks, by group, and its seconds a sample, a number a task."""

    groups: dict[str, Drawn] = field(default_factory=dict)
    sampling: list[float] = field(default_factory=list)
    decoding: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of sampling; the median, since others may use the machine."""
        return median(self.sampling)

    @property
    def delivered(self) -> float:
        """Of sampling and decoding."""
        return self.seconds + median(self.decoding)


def comparison_of(run: str, **settings: Any) -> Comparison:
    """What the run of a student says; ``settings`` that are not None go before.

    Raises:
        InputError: It is no student's run and something is missing.
    """
    known: dict[str, Any] = {}
    if is_run(Path(run)):
        config = OmegaConf.to_container(OmegaConf.load(Path(run) / "config.yaml"), resolve=True)
        data = config["data"]
        known = {"teacher": config.get("teacher"), "store": data["store"], "held_out": data["validation"]}
        known |= {"names": data.get("names") or {}, "steps": data.get("roles", {}).get("steps", (1, 2))}
        known["guidance"] = config["task"].get("distillation", {}).get("guidance", 0.0)
    known |= {name: value for name, value in settings.items() if value not in (None, [], ())}
    for name in ("teacher", "store", "held_out"):
        if not known.get(name):
            raise InputError(
                f"{run} does not say the {name.replace('_', '-')}; give --{name.replace('_', '-')}."
            )
    return Comparison(**known)


def report(models: Sequence[str], threads: int, **settings: Any) -> Table:
    """Compares, writes ``scores.json`` beside the checkpoints of a run, and gives the table to print.

    Args:
        models: Students: runs or packages.
        threads: Of the CPU.
        settings: Of ``Comparison``; None: what the first run says.
    """
    torch.set_num_threads(threads)
    found = compare(models, comparison_of(models[0], **settings))
    for model in filter(is_run, map(Path, models)):
        write_scores(model, found)
    columns = ("seconds", "speed_up", "delivered_speed_up", *NAMES)
    table = Table("", *(name.replace("_", " ") for name in columns))
    for name, row in found.items():
        table.add_row(name, *(f"{row[column]:.4g}" for column in columns))
    return table


def write_scores(run: Path, scores: Mapping[str, Any]) -> None:
    """For ``eo-train package``, which writes them into the model package."""
    part = run / f"{SCORES_NAME}.part"
    part.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    part.replace(run / SCORES_NAME)


def compare(students: Sequence[str], comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Time and scores of the teacher and of each student.

    Returns:
        Row -> ``steps``; ``seconds`` a sample and ``speed_up`` of the sampler, noise drawn beforehand;
        ``delivered_speed_up`` with decoding; the mean over modalities of each score of
        ``training.metrics.students``; and under ``modalities`` these for each.

    Raises:
        InputError: Nothing is held out, or models of other groups.
        ModelError: A model is damaged or missing.
    """
    teacher = load_teacher(comparison.teacher)
    models = [load_model(student) for student in students]
    for model in models:
        if model.network.groups != teacher.network.groups:
            raise InputError(f"{model.name} has other groups than its teacher {teacher.name}.")
    tasks = list(_tasks(teacher.groups, comparison))
    if not tasks:
        raise InputError(
            f"No held-out patch of {comparison.store} has two modalities, one to make of another."
        )
    codecs = load_codecs_of(comparison.teacher)
    truths = _truths(tasks, codecs)
    runs: list[Run] = [(teacher, comparison.teacher_steps, comparison.guidance)]
    runs += [(model, n, 0.0) for model in models for n in comparison.steps]
    few = (n for n in comparison.steps if n != comparison.teacher_steps)
    runs += [(teacher, n, comparison.guidance) for n in few]
    made = [Made() for _ in runs]
    for model in {id(run[0]): run[0] for run in runs}.values():
        model.network.to(comparison.device)
    first = _noise(teacher, tasks[0], comparison)
    for run in runs:  # the first evaluation of a network is slower
        _sample(*run, tasks[0], first, comparison.draws)
    for task in tasks:
        noise = _noise(teacher, task, comparison)
        for run, part in zip(runs, made, strict=True):
            _add(part, run, task, noise, codecs, comparison.draws)
    names = [f"{model.name}, {n} step{'s' * (n > 1)}" for model, n, _ in runs]
    rows = [_row(part, made[0], truths) for part in made]
    return {
        name: _rounded({"steps": n, **row}) for name, (_, n, _), row in zip(names, runs, rows, strict=True)
    }


def _tasks(groups: Sequence[Group], comparison: Comparison) -> Iterator[Task]:
    """Of each held-out patch, one for each modality that is an image."""
    store = open_store(Path(comparison.store))
    _, keys = split(store.keys, comparison.held_out)
    chosen = dict.fromkeys(np.linspace(0, len(keys) - 1, comparison.patches).round().astype(int).tolist())
    samples = LatentSamples(store, keys, groups, Drawing(_SEED, 1, 1), comparison.names, shuffle=False)
    images = dict.fromkeys(group.modality for group in groups if not group.is_vector)
    for number, i in enumerate(chosen):
        known = known_latents(samples, keys[i], groups)
        for modality in images:
            wanted = tuple(group for group in groups if group.modality == modality)
            names = {group.name for group in wanted}
            if names <= set(known) and set(known) - names:
                conditions = {name: z for name, z in known.items() if name not in names}
                yield Task(number, wanted, conditions, {name: known[name] for name in names})


def _add(
    part: Made, run: Run, task: Task, noise: Noise, codecs: Mapping[str, LatentCodec], draws: int
) -> None:
    started = time.perf_counter()
    latents = _sample(*run, task, noise, draws)
    sampled = time.perf_counter()
    for name, z in latents.items():
        drawn = part.groups.setdefault(name, Drawn())
        drawn.latents.append(z)
        drawn.images.append(_decoded(codecs, name, z))
    part.sampling.append((sampled - started) / draws)
    part.decoding.append((time.perf_counter() - sampled) / draws)


def _sample(
    model: JointModel, steps: int, guidance: float, task: Task, noise: Noise, draws: int
) -> dict[str, Tensor]:
    """As the engine samples a window in one stage."""
    conditions = {name: z.expand(draws, *z.shape) for name, z in task.conditions.items()}
    wanted = [group.name for group in task.wanted]
    denoiser = JointDenoiser(model.network, wanted, conditions, noise, guidance, prediction=model.prediction)
    (stage,) = plan_stages(steps, 1, model.solver)
    latents = run_stage(stage, denoiser, None, schedule_of(model.prediction))
    return {name: z.cpu() for name, z in latents.items()}


def _noise(teacher: JointModel, task: Task, comparison: Comparison) -> Noise:
    """One noise for all runs of a task, drawn beforehand: in a scene neighbouring windows share it."""
    samples = range(task.number * comparison.draws, (task.number + 1) * comparison.draws)
    noise = lru_cache(maxsize=None)(KeyedNoise(teacher.network.groups, _SEED, samples))
    for group in teacher.groups:
        for purpose in ("ignored", "unconditional"):
            noise(purpose, group.name)
        for evaluation in range(max(comparison.steps)):
            noise("initial", group.name, evaluation)
    return noise


def _truths(tasks: Sequence[Task], codecs: Mapping[str, LatentCodec]) -> dict[str, list[Tensor]]:
    """The held-out latents, decoded: what the autoencoder loses is no fault of the students."""
    found: dict[str, list[Tensor]] = {}
    for task in tasks:
        for name, z in task.truth.items():
            found.setdefault(name, []).append(_decoded(codecs, name, z[None])[0])
    return found


def _decoded(codecs: Mapping[str, LatentCodec], name: str, latents: Tensor) -> Tensor:
    if name not in codecs:
        return latents
    return codecs[name].decode(latents).float()


def _row(made: Made, teacher: Made, truths: Mapping[str, list[Tensor]]) -> dict[str, Any]:
    found = {name: scores(part, teacher.groups[name], truths[name]) for name, part in made.groups.items()}
    means = {name: float(np.mean([part[name] for part in found.values()])) for name in NAMES}
    return {
        "seconds": made.seconds,
        "speed_up": teacher.seconds / made.seconds,
        "delivered_speed_up": teacher.delivered / made.delivered,
        **means,
        "modalities": found,
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(part) for name, part in value.items()}
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value

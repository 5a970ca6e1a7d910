"""How a joint diffusion model is run in a job: by the package's own settings, unless the job has others."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import InputError
from engine.models.item import ModelItem
from engine.result_files import given_modalities, wanted_modalities
from engine.spec import Job


@dataclass(frozen=True)
class JointSettings:
    """What decides about the draws, apart from inputs and seed.

    Attributes:
        generate: Groups to make, in the network's order.
        context: How many times wider the pixels of a first, distant view are; None: there is none.
        steps, stages, solver, posterior: See ``engine.models.joint_schema.Sampler``.
        guidance, published_ignored: See ``engine.samplers.any_to_any.JointDenoiser``.
        samples: Draws.
    """

    generate: tuple[str, ...]
    steps: int
    stages: int
    solver: str
    posterior: str
    guidance: float
    published_ignored: bool
    samples: int
    context: int | None = None


def joint_settings(job: Job, item: ModelItem) -> JointSettings:
    """The settings of a job.

    Raises:
        InputError: The model does not know what is given or asked for, or the settings contradict each other.
    """
    wanted = wanted_modalities(job, item)
    if unknown := [name for name in given_modalities(job) if name not in item.takes]:
        raise InputError(
            f"The model {item.id} does not take {', '.join(unknown)}; it takes {', '.join(item.takes)}."
        )
    sampler = item.sampler
    steps, solver = job.steps or sampler.steps, job.solver or sampler.solver
    stages = job.stages or min(sampler.stages, steps)
    if stages > steps:
        raise InputError(
            f"{stages} stages were asked for and {steps} steps; each stage needs a step, so set fewer stages."
        )
    if solver == "consistency" and sampler.solver != "consistency":
        raise InputError(
            f"The model {item.id} was not distilled to few steps, so the consistency solver makes no sense "
            "for it; leave the solver out."
        )
    if solver == "multistep" and sampler.prediction == "flow":
        raise InputError(
            f"The model {item.id} follows the path of flow matching, which the multistep solver cannot; "
            "leave the solver out."
        )
    if solver == "multistep" and job.stages is None:
        stages = 1
    if job.context is not None and job.anchor == "scene":
        raise InputError(
            "A scene with windows of its own has no distant view; leave the context or anchor out."
        )
    if job.context is not None:
        _check_context(job.context, item, stages)
    return JointSettings(
        context=job.context,
        generate=tuple(group.name for group in item.groups if group.modality in wanted),
        steps=steps,
        stages=stages,
        solver=solver,
        posterior=job.posterior or sampler.posterior,
        guidance=job.guidance or 0.0,
        published_ignored=job.published_ignored,
        samples=job.samples if job.uncertainty or job.all_samples else 1,
    )


def _check_context(context: int, item: ModelItem, stages: int) -> None:
    sampler = item.sampler
    if stages < 2:
        raise InputError(
            "A distant view (context) takes the place of the first stage, so at least 2 stages are needed; "
            "set more stages and steps."
        )
    if sampler.window_px % context or sampler.stride_px % context:
        raise InputError(
            f"The context must divide the model's windows of {sampler.window_px} px and their distance of "
            f"{sampler.stride_px} px, and is {context}; 8 or 4 will do for most models."
        )

"""How often joint diffusion evaluates its networks in real runs, against the authors' sampler."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from common import ROOT, Bench, Row
from diffusers.models.autoencoders.vae import Encoder
from joint_models import TINY, JointRecorder, JointRecordingRunner, counted, job, package

from engine import job as engine_job
from engine.networks.cop_gen import CopGen
from engine.spec import Job

SIZE_PX, SAMPLES = 160, 3
CONFORMANCE = Path(os.environ.get("EO_CONFORMANCE") or ROOT.parent / "shared" / "conformance")
# Where the authors' own counts are not at hand: their solver evaluates once a step.
_CASES = (
    {"generate": ["s2_l2a"], "condition": ["dem", "s1_rtc"], "steps": 7, "network_evaluations": 7},
    {
        "generate": ["dem", "s1_rtc", "s2_l1c", "s2_l2a"],
        "condition": [],
        "steps": 6,
        "network_evaluations": 6,
    },
)
_RASTERS = {"dem", "s1_rtc"}


class SingleRunner(JointRecordingRunner):
    """The usual runner, a window at a time: without copies that fill batches up."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._translator.translator.batch = 1


def measure(bench: Bench) -> list[Row]:
    """Counted at the networks' own doors, for sets of wanted and given modalities and for stages."""
    model = package(bench.scratch / "evaluations", TINY)
    rows, seen = [], set()
    for case in cases():
        key = tuple(case["generate"]), tuple(case["condition"]), case["steps"]
        if key not in seen:
            seen.add(key)
            rows.append(of_case(bench, model, case))
    rows += [of_stages(bench, model, stages) for stages in (2, 3, 4)]
    return [*rows, *of_samples(bench, model)]


def cases() -> list[dict[str, Any]]:
    """Wanted and given modalities with the authors' count: of the conformance set where it is there."""
    index = CONFORMANCE / "cop_gen_beta" / "index.json"
    if not index.exists():
        return list(_CASES)
    found = json.loads(index.read_text(encoding="utf-8"))["sampler"].values()
    known = {"dem", "s1_rtc", "s2_l1c", "s2_l2a"}
    return [
        case
        for case in found
        if "network_evaluations" in case
        and set(case["condition"]) <= _RASTERS
        and {*case["generate"], *case["condition"]} <= known
    ]


def of_case(bench: Bench, model: str, case: dict[str, Any]) -> Row:
    """One set, in one stage as the authors have it."""
    order = ordered(bench, model, case["generate"], case["condition"], steps=case["steps"], stages=1)
    found = evaluations(order)
    what = (
        f"{'+'.join(case['condition']) or 'nothing'} to {'+'.join(case['generate'])}, {case['steps']} steps"
    )
    value = found["evaluated"] / found["windows"] / case["network_evaluations"]
    return Row(f"{what}: evaluations a window / the authors'", value, "", "<= 1", {**case, **found})


def of_stages(bench: Bench, model: str, stages: int) -> Row:
    """Stages that reconcile windows cost no evaluation."""
    steps = 9
    found = evaluations(ordered(bench, model, ["s2_l2a"], ["dem"], steps=steps, stages=stages))
    value = found["evaluated"] / found["windows"] / steps
    return Row(f"{steps} steps in {stages} stages: evaluations a window / steps", value, "", "<= 1", found)


def of_samples(bench: Bench, model: str) -> list[Row]:
    """Several draws: what is given is encoded once, and batches are full of work."""
    settings = {"steps": 4, "stages": 2, "samples": SAMPLES, "all_samples": True}
    order = ordered(bench, model, ["s2_l2a"], ["dem", "s1_rtc"], **settings)
    with counted(Encoder) as encoder:
        found = evaluations(order)
    detail = {**found, "encoded": encoder.rows, "given": len(order.inputs), "samples": SAMPLES}
    encoded = encoder.rows / len(order.inputs) / (found["windows"] / SAMPLES)
    with counted(CopGen) as network:
        engine_job.run(order, open_runner=JointRecordingRunner)
    fed = {"rows_fed": network.rows, "rows_needed": found["evaluated"]}
    what = f"{SAMPLES} draws, {SIZE_PX} px"
    return [
        Row(f"{what}: encodings of a window and given modality", encoded, "", "= 1", detail),
        Row(
            f"{what}: rows fed in full batches / rows needed", network.rows / found["evaluated"], "", "", fed
        ),
    ]


def ordered(bench: Bench, model: str, wanted: list[str], given: list[str], **settings: Any) -> Job:
    """A job of these modalities over a scene, or over its extent where nothing is given."""
    places = {name: str(bench.scratch / f"{name}.tif") for name in wanted}
    order = job(bench, model, SIZE_PX, output=places, generate=wanted, **settings)
    changes: dict[str, Any] = {"inputs": {name: order.inputs[name] for name in given}}
    if not given:
        extent = (500_000.0, 5_000_000.0 - 10 * SIZE_PX, 500_000.0 + 10 * SIZE_PX, 5_000_000.0)
        changes |= {"extent": extent, "crs": "EPSG:32633"}
    return order.model_copy(update=changes)


def evaluations(order: Job) -> dict[str, int]:
    """``evaluated``: rows through the denoiser in a run; ``windows``: windows, counted a draw."""
    with counted(CopGen) as network:
        engine_job.run(order, open_runner=SingleRunner)
    recorder: JointRecorder = SingleRunner.recorder
    return {"evaluated": network.rows, "windows": len(windows(recorder))}


def windows(recorder: JointRecorder) -> set[tuple[int, tuple[int, int]]]:
    """(draw, corner) of everything that was sampled."""
    found = set()
    for name, arguments in recorder.calls:
        if name == "run":
            rows = arguments[1]
            corners = next(iter(rows.corners.values()))
            found |= set(zip(rows.samples, corners, strict=True))
    return found

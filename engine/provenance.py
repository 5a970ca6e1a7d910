"""Where a result comes from, as GDAL tags: no times, so that the same job gives the same file."""

from __future__ import annotations

import json

import engine
from engine.diagnostics import versions
from engine.errors import InputError
from engine.inputs import Inputs
from engine.models.item import ModelItem
from engine.raster.encode import TAG_DOMAIN
from engine.raster.source import gdal_environment, open_raster
from engine.raster.statistics import Numbers
from engine.result_files import ResultFile, given_modalities
from engine.spec import HANDLING, Job


def provenance_tags(
    job: Job, item: ModelItem, inputs: Inputs, device: str, chunk_px: int, file: ResultFile
) -> dict[str, dict[str, str]]:
    """Tags by domain; the default domain says what any GIS shows, ours everything that a rerun needs."""
    given = ", ".join(given_modalities(job)) or "nothing"
    noise = {"samples": job.samples}
    if item.noise or item.is_joint:
        noise = {"seed": job.seed, **noise}
    if file.sample > 1:
        noise["sample"] = file.sample
    details = {
        "SYNTHETIC": "yes",
        "MODALITY": file.modality,
        "SAMPLE": str(file.sample) if file.kind == "sample" else "",
        "MODEL": item.id,
        "MODEL_TITLE": item.title,
        "MODEL_SHA256": item.sha256,
        "SEED": str(job.seed),
        "SAMPLES": str(job.samples),
        "DEVICE": device,
        "JOB": job.model_dump_json(exclude_defaults=True, exclude=HANDLING),
        "STATISTICS": json.dumps(inputs.statistics),
        "UNITS": json.dumps(inputs.units),
        "TILING": json.dumps(
            {
                **item.tiling.model_dump(),
                "world_origin_px": inputs.layer.part(inputs.box).origin,
                "chunk_px": chunk_px,  # of the output, as the scale factor says
                "scale_factor": item.output.scale_factor if item.output else 1,
            }
        ),
        "VERSIONS": json.dumps(versions()),
        "LIMITS": item.limits,
        "CITATION": item.citation,
        "LICENSE": item.license,
    }
    return {
        "": {
            "SYNTHETIC": "yes",
            "TIFFTAG_SOFTWARE": f"EO Translate {engine.__version__}",
            "TIFFTAG_IMAGEDESCRIPTION": (
                f"Synthetic {file.modality} image, made from {given} by the model {item.id}; not "
                "an observation. " + ", ".join(f"{key} {value}" for key, value in noise.items())
            ),
        },
        TAG_DOMAIN: {key: value for key, value in details.items() if value},
    }


def recorded_statistics(path: str, modality: str) -> dict[str, Numbers]:
    """Band -> (mean, standard deviation), or the model's own numbers, that an earlier result was made with.

    Raises:
        InputError: The file is no result of ours, or its model does not normalise this input by the scene.
    """
    with gdal_environment(), open_raster(path, "result") as dataset:
        text = dataset.tags(ns=TAG_DOMAIN).get("STATISTICS", "{}")
    try:
        recorded = {
            name: tuple(float(x) for x in found) for name, found in json.loads(text)[modality].items()
        }
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        recorded = {}
    if not recorded or not all(recorded.values()):
        raise InputError(
            f"The file {path} records no statistics of {modality}; give a result of EO Translate."
        )
    return recorded

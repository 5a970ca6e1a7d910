"""Run of a student -> model package: its teacher's with other weights, run in few steps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save_file
from torch import Tensor

from engine.models.item import ITEM_NAME, ModelItem
from engine.models.joint_schema import Sampler
from engine.models.store import find
from engine.models.tensor_files import read_package_tensors, read_tensors
from training.export import commit
from training.export_joint import assets_of, check_autoencoders, describe, load_joint_run
from training.groups import groups_of
from training.joint_models import TEACHER_KEY, is_run

_TASK = "training.tasks.distil.DistilTask"
_WEIGHTS_NAME = "model.safetensors"
_WHAT = (
    "{description} This is a student of the model {teacher}, which it follows in one to {steps} steps rather "
    "than {teacher_steps}: much faster, and less faithful; its metrics stand beside its teacher's."
)


def is_student(run: Path) -> bool:
    """Whether a run is one of ``experiment=distil``."""
    config = run / "config.yaml"
    return config.is_file() and OmegaConf.load(config).task._target_ == _TASK


def package(run: Path, output: Path, scores: Mapping[str, Any] | None = None) -> None:
    """Write the model package of a student.

    Args:
        run: Folder of the run; its teacher must still be there.
        output: Folder of the package; its name is the model's name. Replaced as a whole when all has
            succeeded.
        scores: What ``eo-train students`` found.

    Raises:
        InputError: The run holds no checkpoint, or the teacher's autoencoders are missing.
        ModelError: The teacher is missing or damaged.
    """
    from engine.models.build import write_item

    config, weights, state = load_joint_run(run)
    name, properties, assets, precision = _taught(config.teacher)
    part = output.with_name(output.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    tensors = {key: tensor.to(precision).contiguous() for key, tensor in weights.items()}
    save_file(tensors, part / _WEIGHTS_NAME)
    for key, path in assets.items():
        save_file({k: t.contiguous() for k, t in read_tensors(path).items()}, part / f"{key}.safetensors")
    properties |= _changes(name, properties, config, state, scores or {})
    files = {key: f"{key}.safetensors" for key in assets}
    write_item(part, output.name, _WEIGHTS_NAME, properties, extra_files=files)
    shutil.rmtree(output, ignore_errors=True)
    part.replace(output)


def _taught(teacher: str) -> tuple[str, dict[str, Any], dict[str, Path], Any]:
    """Name, properties and further weights of the teacher, and the precision of its denoiser's file."""
    if is_run(Path(teacher)):
        config, weights, state = load_joint_run(Path(teacher))
        groups, assets = groups_of(config.data.groups), assets_of(config)
        check_autoencoders(config, groups, assets)
        properties = describe(config, groups, assets, weights, state, {})
        return config.name, properties, assets, _precision(weights)
    item = find(teacher)
    assets = {key: item.asset(key) for key in _keys(item)}
    return item.id, _properties(item), assets, _precision(read_package_tensors(item.weights_path, item.id))


def _keys(item: ModelItem) -> list[str]:
    latents = [group.latent for group in item.groups]
    keys = [key for latent in latents for key in (latent.autoencoder, latent.decoder) if key]
    return list(dict.fromkeys(keys))


def _properties(item: ModelItem) -> dict[str, Any]:
    """As the item says, without what ``write_item`` derives."""
    found = json.loads((item.folder / ITEM_NAME).read_text(encoding="utf-8"))["properties"]
    own = ("title", "description", "license", "mlm:architecture", "mlm:total_parameters")
    return {key: value for key, value in found.items() if key in own or key.startswith("eo_translate:")}


def _precision(tensors: Mapping[str, Tensor]) -> Any:
    return tensors["pos_embed"].dtype


def _changes(
    name: str,
    properties: Mapping[str, Any],
    config: DictConfig,
    state: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> dict[str, Any]:
    """What is other than the teacher's."""
    taught = properties["eo_translate:sampler"]
    sampler = Sampler.model_validate(
        {
            **taught,
            "prediction": state[TEACHER_KEY]["prediction"],
            "solver": "consistency",
            **OmegaConf.to_container(config.sampler, resolve=True),
        }
    )
    words = {"teacher": name, "steps": max(config.data.roles.steps), "teacher_steps": taught["steps"]}
    return {
        "title": f"{properties['title']}, few steps",
        "description": _WHAT.format(description=properties["description"], **words),
        "eo_translate:sampler": sampler.model_dump(mode="json"),
        "eo_translate:training": {
            **properties.get("eo_translate:training", {}),
            "distilled": {
                "recipe": "eo-train experiment=distil",
                "teacher": name,
                "teacher_sha256": state[TEACHER_KEY]["sha256"],
                "guidance": config.task.distillation.guidance,
                "seed": config.seed,
                "commit": config.get("commit") or commit(),
                "steps": int(state["global_step"]),
                "never_trained_on": [*config.data.validation, *config.data.ignored],
            },
        },
        "eo_translate:metrics": dict(scores),
    }

"""Joint models to distil or to compare: packages, runs of the joint recipes, runs of students."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError, ModelError
from engine.models.joint_schema import Group
from engine.models.store import find
from engine.models.weights import check_hash, sha256_file
from engine.networks.cop_gen import CopGen
from engine.networks.cop_gen_weights import cop_gen_from_tensors
from engine.networks.kl_autoencoder import LatentCodec
from engine.samplers.any_to_any import Solver
from engine.samplers.prediction import Prediction
from engine.translators.joint_networks import load_denoiser, load_networks
from training.datasets.moments import load_codecs
from training.export_joint import assets_of, check_autoencoders, load_joint_run
from training.groups import groups_of, latent_group

TEACHER_KEY = "teacher"  # in a student's checkpoint


@dataclass(frozen=True)
class JointModel:
    """A fitted denoiser and how it is run.

    Attributes:
        name: Of the package, or of the run's folder.
        groups: In the denoiser's order.
        network: In evaluation mode on the CPU, without gradients.
        prediction: What it predicts.
        solver: How it is sampled.
        sha256: Of the weights' file.
    """

    name: str
    groups: tuple[Group, ...]
    network: CopGen
    prediction: Prediction
    solver: Solver
    sha256: str

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.network.mid_block.attn.heads


def is_run(path: Path) -> bool:
    """Whether a folder is a training run's."""
    return (path / "config.yaml").is_file()


def load_model(source: str | Path) -> JointModel:
    """A package by name or folder, or the averaged network of a run.

    Raises:
        InputError: The run has no checkpoint.
        ModelError: No such package; damaged; or of another family.
    """
    path = Path(source)
    if is_run(path):
        return _from_run(path)
    item = find(str(source))
    if item.family != "joint-diffusion":
        raise ModelError(
            f"The model {item.id} is of the family {item.family}; joint-diffusion models have students."
        )
    sampler, digest = item.sampler, check_hash(item)
    network = load_denoiser(item)
    return JointModel(item.id, tuple(item.groups), network, sampler.prediction, sampler.solver, digest)


def load_teacher(source: str | Path) -> JointModel:
    """A model that can be distilled; raises as ``load_model``.

    Raises:
        InputError: It is a student itself.
    """
    model = load_model(source)
    if model.solver == "consistency":
        raise InputError(f"{model.name} is a student itself; give the model that it was distilled from.")
    return model


def load_codecs_of(source: str | Path) -> dict[str, LatentCodec]:
    """Autoencoders of a model's groups, by group; a student's are its teacher's.

    Raises:
        InputError: The run does not name them.
        ModelError: One is missing, damaged, or another one.
    """
    path = Path(source)
    if not is_run(path):
        return load_networks(find(str(source)), denoiser=False).codecs
    config, _, state = load_joint_run(path)
    if TEACHER_KEY in state:
        return load_codecs_of(config.teacher)
    groups, assets = groups_of(config.data.groups), assets_of(config)
    check_autoencoders(config, groups, assets)
    return load_codecs(groups, assets)


def _from_run(path: Path) -> JointModel:
    config, weights, state = load_joint_run(path)
    groups = groups_of(config.data.groups)
    told = state.get(TEACHER_KEY)
    heads = told["heads"] if told else config.network.heads
    prediction = told["prediction"] if told else config.task.prediction
    network = cop_gen_from_tensors(weights, [latent_group(g) for g in groups], heads, str(path))
    checkpoint = next(path / name for name in ("best.ckpt", "last.ckpt") if (path / name).is_file())
    solver = "consistency" if told else "singlestep"
    return JointModel(path.name, groups, network, prediction, solver, sha256_file(checkpoint))

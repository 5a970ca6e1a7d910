"""Pictures of what a joint model draws while it is trained: given groups, truth, sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.errors import InputError
from engine.models.joint_schema import Group
from engine.networks.kl_autoencoder import LatentCodec
from engine.samplers.any_to_any import JointDenoiser, check_request
from engine.samplers.dpm_solver import singlestep, time_grid
from engine.samplers.keyed_noise import KeyedNoise
from training.datasets.moments import load_codecs

if TYPE_CHECKING:
    from training.tasks.joint_diffusion import JointDiffusionTask

_STRETCH = (0.02, 0.98)


@dataclass(frozen=True)
class Request:
    """What is drawn.

    Attributes:
        generate: Groups; empty: all that are not given.
        given: Groups that are conditions.
    """

    generate: Sequence[str] = ()
    given: Sequence[str] = ()

    def __str__(self) -> str:
        return f"{'+'.join(self.given) or 'nothing'} to {'+'.join(self.generate) or 'all'}"


class SampleGrids(L.Callback):
    """After each validation, samples of the averaged network for the first held-out patches in TensorBoard.

    The same patches and the same noise every time. One row a patch; columns: what is given, the truth of what
    is drawn, and the sample. Without autoencoders the first three channels of the latents are shown.

    Args:
        requests: What to draw.
        autoencoders: Key -> file; as for ``load_codecs``. None: latents are shown.
        count: Patches.
        steps: Evaluations of the network a sample.
        seed: Of the noise.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        autoencoders: Mapping[str, str] | None = None,
        count: int = 4,
        steps: int = 50,
        seed: int = 0,
    ) -> None:
        self.requests, self.count, self.steps, self.seed = tuple(requests), count, steps, seed
        self._files = {key: Path(file) for key, file in (autoencoders or {}).items() if file}
        self._codecs: dict[str, LatentCodec] = {}

    def on_fit_start(self, trainer: L.Trainer, pl_module: JointDiffusionTask) -> None:
        """Loads the autoencoders and checks the requests, lest a run fail at its first picture."""
        for request in self.requests:
            try:
                check_request(pl_module.names, _wanted(request, pl_module.names), request.given)
            except InputError as error:
                raise InputError(
                    f"The samples of grids.requests cannot be drawn: {error} Change them, or set grids=null."
                ) from None
        self._codecs = load_codecs(trainer.datamodule.groups, self._files) if self._files else {}

    def on_validation_end(self, trainer: L.Trainer, pl_module: JointDiffusionTask) -> None:
        """Draws and logs."""
        board = getattr(trainer.logger, "experiment", None)
        if not trainer.is_global_zero or not hasattr(board, "add_image"):
            return
        samples, groups = trainer.datamodule.validation_samples(), trainer.datamodule.groups
        chosen = [samples[i]["latent"] for i in range(min(self.count, len(samples)))]
        truth = {group.name: torch.stack([latents[group.name] for latents in chosen]) for group in groups}
        for request in self.requests:
            drawn = self.draw(pl_module, request, truth)
            picture = self._picture(groups, request, truth, drawn)
            board.add_image(f"samples/{request}", picture, trainer.global_step)

    def draw(
        self, task: JointDiffusionTask, request: Request, truth: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Latents (B, C, h, w) of the wanted groups, given the others' true ones."""
        wanted = _wanted(request, task.names)
        count = len(next(iter(truth.values())))
        noise = KeyedNoise(task.average.groups, self.seed, range(count))
        given = {name: truth[name] for name in request.given}
        denoiser = JointDenoiser(task.average, wanted, given, noise, prediction=task.prediction)
        # The boards of a mixed-precision run show what float32 gives.
        with torch.autocast(task.device.type, enabled=False):
            state = singlestep(denoiser, denoiser.initial(), time_grid(self.steps), denoiser.schedule)
        return {name: latent.cpu() for name, latent in denoiser.split(state).items()}

    def _picture(
        self,
        groups: Sequence[Group],
        request: Request,
        truth: Mapping[str, Tensor],
        drawn: Mapping[str, Tensor],
    ) -> Tensor:
        """(3, H, W) in 0..1."""
        known = {group.name: group for group in groups if not group.is_vector}
        columns = []
        for name in (name for name in request.given if name in known):
            image = self._decoded(known[name], truth[name])
            columns.append(colours(known[name], image, image))
        for name in (name for name in drawn if name in known):
            true, sample = (self._decoded(known[name], latents[name]) for latents in (truth, drawn))
            columns += [colours(known[name], true, true), colours(known[name], sample, true)]
        size = max(column.shape[-1] for column in columns)
        columns = [F.interpolate(column, (size, size), mode="nearest") for column in columns]
        return torch.cat([torch.cat(row, dim=2) for row in zip(*columns, strict=True)], dim=1)

    def _decoded(self, group: Group, latent: Tensor) -> Tensor:
        return self._codecs[group.name].decode(latent) if group.name in self._codecs else latent[:, :3]


def _wanted(request: Request, names: Sequence[str]) -> list[str]:
    return list(request.generate) or [name for name in names if name not in request.given]


def colours(group: Group, image: Tensor, reference: Tensor) -> Tensor:
    """(B, C, H, W) of a group as (B, 3, H, W) in 0..1, stretched as ``reference`` demands."""
    if group.encoding.kind == "classes" and image.shape[1] == len(group.encoding.classes):
        table = torch.tensor([entry.color for entry in group.encoding.classes], dtype=torch.float32) / 255
        return table[image.argmax(dim=1)].movedim(-1, 1)
    shown, ruler = (
        x[:, :3] if x.shape[1] >= 3 else x[:, :1].expand(-1, 3, -1, -1) for x in (image, reference)
    )
    low, high = (torch.quantile(ruler.float(), share) for share in _STRETCH)
    return ((shown - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)

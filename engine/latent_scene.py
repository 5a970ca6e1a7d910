"""One job's raster for a joint diffusion model, chunk by chunk; the counterpart of ``engine.scene``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.distant_view import DistantView
from engine.joint_inputs import JointContext, JointInputs
from engine.joint_settings import joint_settings
from engine.latent_lattice import LatentLattice, hull
from engine.latent_windows import LatentWindows
from engine.modalities.encoders import encoder
from engine.modalities.vectors import vector_planes
from engine.models.item import ModelItem
from engine.models.joint_schema import Group
from engine.raster.grid import Grid
from engine.result_files import result_files
from engine.results import modality_output, stored
from engine.scene import Chunk, chunk_side, file_encoders
from engine.spec import Job
from engine.spreads import spread_of
from engine.tiling.lattice import Box, chunks
from engine.tiling.plan import in_strips

if TYPE_CHECKING:
    from engine.samplers.staged import Stage
    from engine.translators.joint_diffusion import JointTranslator

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Draw:
    """One draw of a chunk; ``values`` by modality are physical, NaN where inputs are invalid.

    Attributes:
        index: Of the chunk.
        sample: Of the draw, from 0.
        values: Modality -> (C, H, W); None: nothing in this chunk is valid.
    """

    index: int
    sample: int
    values: dict[str, Array] | None


class LatentScene:
    """A job with its inputs open; same doors as ``engine.scene.Scene``.

    Args:
        job: What to do.
        item: A package of the family ``joint-diffusion``.
        inputs: Opened for both.
        device: What the networks run on, for the tags.

    Attributes:
        settings: Of the sampling.
        grid: The output grid.
        chunks: Boxes of the layer, row-major.
        columns: Chunks in a row.
        files: What the job writes.
        encoders: One for each of them.
    """

    def __init__(self, job: Job, item: ModelItem, inputs: JointInputs, device: str) -> None:
        self.job, self.item, self.inputs, self.device = job, item, inputs, device
        self.settings = joint_settings(job, item)
        alone = inputs.box if job.anchor == "scene" else None
        self._lattice = LatentLattice(item, self.settings.generate, inputs.layer.origin, alone)
        self._distant = self._distant_view()
        self.side = chunk_side(job, 1)
        self.chunks = [
            chunk.shifted(inputs.box.row, inputs.box.col)
            for chunk in chunks(inputs.box.height, inputs.box.width, self.side)
        ]
        self.columns = -(-inputs.box.width // self.side)
        self.grid: Grid = inputs.layer.part(inputs.box)
        self.files = result_files(job, item)
        self.encoders = file_encoders(self, self.side)
        self._here = threading.local()

    def place(self, index: int) -> Box:
        """Where a chunk lies in the output files (px)."""
        return self.chunks[index].within(self.inputs.box)

    def order(self, indices: list[int]) -> list[int]:
        """The order in which neighbouring chunks share most."""
        return in_strips(indices, self.columns)

    def read(self, index: int) -> JointContext:
        """What is given over all windows that a chunk is made from; safe to call from several threads."""
        if not hasattr(self._here, "inputs"):
            self._here.inputs = self.inputs.twin()
        levels = self._lattice.levels(self.chunks[index], self.settings.stages)
        context = self._here.inputs.read(hull(levels[0]))
        if self._distant is None:
            return context
        wide = self._distant.wide.seen(self._distant.box(levels[0]), 1)
        return replace(context, distant=self._here.inputs.distant.read(wide))

    def draws(
        self,
        contexts: Iterator[tuple[int, JointContext]],
        translator: JointTranslator,
        report: Callable[[int, float], None],
    ) -> Iterator[Draw]:
        """Chunks through the networks, draw by draw.

        Args:
            contexts: (chunk index, what ``read`` gave).
            translator: The networks.
            report: Called before each evaluation with the number of chunks done and the share of this one;
                may raise to cancel.
        """
        from engine.samplers.staged import plan_stages

        stages = plan_stages(self.settings.steps, self.settings.stages, self.settings.solver)
        afar = None
        if self._distant is not None:
            whole = plan_stages(self.settings.steps, 1, self.settings.solver)
            afar = self._distant, self._windows(self.inputs.distant, self._distant.wide, translator, whole)
        windows = self._windows(self.inputs, self._lattice, translator, stages, afar)
        for done, (index, context) in enumerate(contexts):
            chunk = self.chunks[index]
            valid = context.valid[chunk.within(context.box).slices]
            if not valid.any():
                yield Draw(index, 0, None)
                continue
            made = windows.made(chunk, context, lambda share, done=done: report(done, share))
            for sample, images in enumerate(made):
                yield Draw(index, sample, self._physical(images, chunk, valid))

    def _windows(
        self,
        inputs: JointInputs,
        lattice: LatentLattice,
        translator: JointTranslator,
        stages: tuple[Stage, ...],
        afar: tuple[DistantView, LatentWindows] | None = None,
    ) -> LatentWindows:
        return LatentWindows(
            self.item, self.settings, inputs, self.job.seed, lattice, translator, stages, afar
        )

    def _distant_view(self) -> DistantView | None:
        distant, factor = self.inputs.distant, self.settings.context
        if distant is None or factor is None:
            return None
        wide = LatentLattice(self.item, self.settings.generate, distant.layer.origin)
        groups = [group for group in self.item.groups if group.name in self.settings.generate]
        origins = self.inputs.layer.origin, distant.layer.origin
        return DistantView(self._lattice, wide, groups, factor, *origins)

    def finished(self, draws: Iterator[Draw]) -> Iterator[Chunk]:
        """Chunks from their draws."""
        count = self.settings.samples
        for first in draws:
            if first.values is None:
                yield Chunk(first.index, (b"",) * len(self.encoders), self.device)
                continue
            others = [next(draws) for _ in range(count - 1)]
            yield Chunk(first.index, self._encoded([first, *others]), self.device)

    def _encoded(self, draws: list[Draw]) -> tuple[bytes, ...]:
        place, files = self.place(draws[0].index), []
        for file, encode in zip(self.files, self.encoders, strict=True):
            if file.kind == "sample":
                output = modality_output(self.item, file.modality)
                values = draws[file.sample - 1].values[file.modality]
                files.append(encode.encode(place, stored(values, output, encode.layout.nodata)))
            else:
                planes = spread_of([d.values[file.modality] for d in draws], self.item, file.modality)
                files.append(encode.encode(place, planes))
        return tuple(files)

    def _physical(self, images: dict[str, Array], chunk: Box, valid: NDArray[np.bool_]) -> dict[str, Array]:
        """Modality -> (C, H, W) over the chunk, its groups' bands one after the other."""
        groups = {group.name: group for group in self.item.groups}
        values = {name: self._on_layer(groups[name], image, chunk) for name, image in images.items()}
        found: dict[str, Array] = {}
        for modality in dict.fromkeys(groups[name].modality for name in images):
            parts = self.item.groups_of(modality)
            found[modality] = values[parts[0].name]
            if len(parts) > 1:
                order = self.item.bands_of(modality)
                found[modality] = np.stack([values[group.name][number] for group, number in order])
            np.copyto(found[modality], np.nan, where=~valid)
        return found

    def _on_layer(self, group: Group, image: Array, chunk: Box) -> Array:
        """Physical values of a group over the chunk, coarse pixels repeated."""
        if group.is_vector:
            return vector_planes(group.encoding.kind, image)
        values = encoder(group).decode(np.nan_to_num(image))
        if group.pixel == 1:
            return np.array(values, dtype=np.float32)
        around = chunk.snapped_out(group.pixel, self.inputs.layer.origin)
        fine = values.repeat(group.pixel, axis=1).repeat(group.pixel, axis=2)
        return np.ascontiguousarray(fine[(slice(None), *chunk.within(around).slices)], dtype=np.float32)

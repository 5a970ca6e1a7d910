"""Joint diffusion over a lattice of windows that agree where they overlap.

Windows lie at multiples of the model's stride in the world. In every stage each window is carried on alone;
between stages the clean latents of overlapping windows are blended (``engine.tiling.blend``) and take new
noise, which is keyed by seed, draw and world cell, so that windows that overlap take the same (after
InfiniteDiffusion, arXiv:2512.08309). What a window comes to thus depends on (job, window) alone: on its
neighbours one stage earlier, on theirs two stages earlier, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.joint_inputs import JointContext, JointInputs
from engine.joint_settings import JointSettings
from engine.modalities.filling import filled
from engine.models.item import ModelItem
from engine.models.joint_schema import Group
from engine.raster.grid import latitude_longitude
from engine.tiling.blend import Blender, flank_weights
from engine.tiling.lattice import Box
from engine.tiling.plan import Kept, Plan

if TYPE_CHECKING:
    from engine.samplers.staged import Stage
    from engine.translators.joint_diffusion import JointTranslator, Rows

Array = NDArray[np.float32]
Latents = dict[str, Array]
_KEPT_LATENT_BYTES = 256 << 20
_KEPT_IMAGE_BYTES = 192 << 20
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Cone:
    """The windows that a box of the result is made from.

    Attributes:
        windows: Of each stage, first to last, and those that are decoded; row-major.
    """

    windows: tuple[tuple[Box, ...], ...]

    @property
    def box(self) -> Box:
        """All pixels of the layer that they see."""
        first = self.windows[0]
        row, col = min(w.row for w in first), min(w.col for w in first)
        return Box(row, col, max(w.rows[1] for w in first) - row, max(w.cols[1] for w in first) - col)


def cone(plan: Plan, box: Box, stages: int) -> Cone:
    """The windows that have a say in a box of the layer."""
    levels = [tuple(window.box for window in plan.windows(box))]
    for _ in range(stages):
        # A window sees all that overlap it: one window more on each side.
        corner, last = levels[0][0], levels[0][-1]
        around = Box(corner.row, corner.col, last.rows[1] - corner.row, last.cols[1] - corner.col)
        levels.insert(0, tuple(window.box for window in plan.windows(around)))
    return Cone(tuple(levels))


class LatentWindows:
    """Evaluates the windows of a job, each once while it is remembered.

    Args:
        item: The model.
        settings: Of the job.
        inputs: Of the job.
        seed: Of the job.
        plan: The lattice.
        translator: The networks on their device.
        stages: Of the sampling, see ``engine.samplers.staged.plan_stages``.
    """

    def __init__(
        self,
        item: ModelItem,
        settings: JointSettings,
        inputs: JointInputs,
        seed: int,
        plan: Plan,
        translator: JointTranslator,
        stages: Sequence[Stage],
    ) -> None:
        self._item, self._settings, self._inputs, self._seed = item, settings, inputs, seed
        self._plan, self._translator, self._stages = plan, translator, tuple(stages)
        self._groups = {group.name: group for group in item.groups}
        self._wanted = [self._groups[name] for name in settings.generate]
        latent_bytes = sum(4 * g.latent.channels * g.latent.height * g.latent.width for g in item.groups)
        self._latents: Kept[Latents] = Kept(_KEPT_LATENT_BYTES // latent_bytes)
        self._moments: Kept[Latents] = Kept(_KEPT_LATENT_BYTES // (2 * latent_bytes))
        side = item.sampler.window_px
        self._images: Kept[Latents] = Kept(_KEPT_IMAGE_BYTES // (16 * len(self._wanted) * side * side))

    def made(
        self, box: Box, context: JointContext, report: Callable[[float], None]
    ) -> Iterator[dict[str, Array]]:
        """Every draw of a box of the layer, first to last.

        Args:
            box: Where.
            context: What is given over the cone of the box.
            report: Called before each evaluation of the denoiser with the share of the work that is done;
                may raise to cancel.

        Yields:
            Group -> (C, h, w) float32 in the model's range, in pixels of the group over the smallest box of
            whole group pixels around ``box`` (vectors: pixels of the layer over ``box``); NaN where no window
            has valid inputs.
        """
        levels = cone(self._plan, box, len(self._stages)).windows
        *active, shown = [[w for w in level if self._is_active(w, context)] for level in levels]
        rows = max(1, len(active[-1]))
        together = max(1, min(self._settings.samples, _ROWS_AT_ONCE // rows))
        progress = _Progress(report, self._work(active))
        for first in range(0, self._settings.samples, together):
            samples = range(first, min(first + together, self._settings.samples))
            latents = self._sampled(active, context, samples, progress)
            for sample in samples:
                yield self._decoded(box, shown, latents, sample)

    def _is_active(self, window: Box, context: JointContext) -> bool:
        """Whether a window has something to go by; without any raster all have."""
        if not self._inputs.images:
            return True
        inside = window.intersection(self._inputs.layer.box)
        return inside is not None and bool(context.valid[inside.within(context.box).slices].any())

    def _work(self, active: list[list[Box]]) -> int:
        """Evaluations of the denoiser that are to come, counted a row."""
        total = 0
        for stage, windows in zip(self._stages, active, strict=True):
            keys = ((stage.index, s, w) for s in range(self._settings.samples) for w in windows)
            total += stage.evaluations * sum(self._latents.get(key) is None for key in keys)
        return total

    def _sampled(
        self, active: list[list[Box]], context: JointContext, samples: range, progress: _Progress
    ) -> dict[tuple[int, Box], Latents]:
        """Clean latents after the last stage by (draw, window): blended, of the images."""
        before: dict[tuple[int, Box], Latents] = {}
        done = 0
        for stage, windows in zip(self._stages, active, strict=True):
            blended = None
            if before:
                blended = {(s, w): self._blended(w, s, before) for s in samples for w in windows}
            before = self._stage(stage, windows, samples, context, blended, done, progress)
            done += stage.evaluations
        return before

    def _stage(
        self,
        stage: Stage,
        windows: list[Box],
        samples: range,
        context: JointContext,
        blended: dict[tuple[int, Box], Latents] | None,
        done: int,
        progress: _Progress,
    ) -> dict[tuple[int, Box], Latents]:
        found, missing = {}, []
        for sample in samples:
            for window in windows:
                kept = self._latents.get((stage.index, sample, window))
                if kept is None:
                    missing.append((sample, window))
                else:
                    found[sample, window] = kept
        for start in range(0, len(missing), _ROWS_AT_ONCE):
            part = missing[start : start + _ROWS_AT_ONCE]
            rows = self._rows(part, context, blended)
            progress.rows = min(self._translator.batch, len(rows))
            made = self._translator.run(stage, rows, self._settings, self._seed, done, progress.advance)
            for i, (sample, window) in enumerate(part):
                latents = {name: values[i] for name, values in made.items()}
                found[sample, window] = latents
                self._latents.put((stage.index, sample, window), latents)
        return found

    def _rows(
        self,
        part: Sequence[tuple[int, Box]],
        context: JointContext,
        blended: dict[tuple[int, Box], Latents] | None,
    ) -> Rows:
        from engine.translators.joint_diffusion import Rows

        windows = list(dict.fromkeys(window for _, window in part))
        moments = self._window_moments(windows, context)
        conditions = {name: np.stack([moments[w][name] for _, w in part]) for name in self._inputs.given}
        clean = None
        if blended is not None:
            clean = {g.name: np.stack([blended[key][g.name] for key in part]) for g in self._wanted}
        corners = {
            group.name: [self._cells(group, window)[:2] for _, window in part]
            for group in self._item.groups
            if not group.is_vector
        }
        # A vector holds for a window: one number a window, or neighbours would be the same draw.
        for group in self._item.groups:
            if group.is_vector:
                corners[group.name] = [self._vector_corner(group, window) for _, window in part]
        return Rows(tuple(sample for sample, _ in part), corners, conditions, clean)

    def _window_moments(self, windows: list[Box], context: JointContext) -> dict[Box, Latents]:
        """What is given over each window, encoded once for all draws."""
        known = {window: self._moments.get(window) for window in windows}
        missing = [window for window, found in known.items() if found is None]
        fresh: dict[Box, Latents] = {window: {} for window in missing}
        for name in self._inputs.images if missing else ():
            images = np.stack([self._image(name, window, context) for window in missing])
            for window, moments in zip(missing, self._translator.moments(name, images), strict=True):
                fresh[window][name] = moments
        for window in missing:
            for name, vector in self._inputs.vectors.items():
                fresh[window][name] = self._vector(vector, window)
            self._moments.put(window, fresh[window])
        return {window: fresh[window] if known[window] is None else known[window] for window in windows}

    def _image(self, name: str, window: Box, context: JointContext) -> Array:
        """(C, h, w) of a group over a window, its gaps filled from around them."""
        pixel = self._groups[name].pixel
        place = window.within(context.box)
        inside = Box(place.row // pixel, place.col // pixel, place.height // pixel, place.width // pixel)
        rows, cols = inside.slices
        image, known = context.images[name][:, rows, cols], context.known[name][rows, cols]
        return filled(image, known, self._groups[name].encoding.kind == "classes")

    def _vector(self, vector: Array | None, window: Box) -> Array:
        if vector is None:
            from engine.modalities.vectors import position_vector

            layer = self._inputs.layer
            middle = window.row + window.height / 2, window.col + window.width / 2
            vector = position_vector(*latitude_longitude(layer, *middle))
        return vector.reshape(1, 1, -1)

    def _cells(self, group: Group, window: Box) -> tuple[int, int, int, int]:
        """World row, column, height and width of a window in latent cells of a group."""
        cell = self._item.sampler.window_px // group.latent.height
        world = window.shifted(*self._inputs.layer.origin)
        return world.row // cell, world.col // cell, group.latent.height, group.latent.width

    def _vector_corner(self, group: Group, window: Box) -> tuple[int, int]:
        world, stride = window.shifted(*self._inputs.layer.origin), self._item.sampler.stride_px
        return world.row // stride * group.latent.height, world.col // stride * group.latent.width

    def _blended(self, window: Box, sample: int, latents: dict[tuple[int, Box], Latents]) -> Latents:
        """What overlapping windows agree on over one of them; a vector is each window's own."""
        found = {}
        neighbours = [w.box for w in self._plan.windows(window) if (sample, w.box) in latents]
        for group in self._wanted:
            if group.is_vector:
                found[group.name] = latents[sample, window][group.name]
                continue
            blender = Blender(group.latent.channels, Box(*self._cells(group, window)))
            weights = self._weights(group.latent.height)
            for neighbour in neighbours:
                blender.feed(
                    Box(*self._cells(group, neighbour)), latents[sample, neighbour][group.name], weights
                )
            found[group.name] = blender.data
        return found

    def _weights(self, cells: int) -> Array:
        sampler = self._item.sampler
        return flank_weights(cells, sampler.stride_px * cells // sampler.window_px)

    def _decoded(
        self, box: Box, windows: list[Box], latents: dict[tuple[int, Box], Latents], sample: int
    ) -> dict[str, Array]:
        """Images of a draw: every window decoded from the blended latents, and blended once more."""
        images = self._window_images(windows, latents, sample)
        return {group.name: self._assembled(group, box, windows, images) for group in self._wanted}

    def _window_images(
        self, windows: list[Box], latents: dict[tuple[int, Box], Latents], sample: int
    ) -> dict[Box, Latents]:
        known = {window: self._images.get((sample, window)) for window in windows}
        missing = [window for window, found in known.items() if found is None]
        fresh: dict[Box, Latents] = {window: {} for window in missing}
        blended = {window: self._blended(window, sample, latents) for window in missing}
        for group in self._wanted if missing else ():
            values = np.stack([blended[window][group.name] for window in missing])
            if not group.is_vector:
                values = self._translator.decode(group.name, values)
            for window, image in zip(missing, values, strict=True):
                fresh[window][group.name] = image
        for window in missing:
            self._images.put((sample, window), fresh[window])
        return {window: fresh[window] if known[window] is None else known[window] for window in windows}

    def _assembled(self, group: Group, box: Box, windows: list[Box], images: dict[Box, Latents]) -> Array:
        pixel, side = (1 if group.is_vector else group.pixel), self._item.sampler.window_px
        origin = self._inputs.layer.origin
        target = _in_pixels(box.snapped_out(pixel, origin).shifted(*origin), pixel)
        weights = self._weights(side // pixel)
        first = next(iter(images.values()), None)
        channels = 3 if group.is_vector else (1 if first is None else len(first[group.name]))
        blender = Blender(channels, target)
        for window in windows:
            image = images[window][group.name]
            if group.is_vector:
                image = np.broadcast_to(image.reshape(3, 1, 1), (3, side, side))
            blender.feed(_in_pixels(window.shifted(*origin), pixel), image, weights)
        return blender.data


class _Progress:
    """Share of a chunk's evaluations that are done."""

    def __init__(self, report: Callable[[float], None], total: int) -> None:
        self._report, self._total, self._done = report, max(total, 1), 0
        self.rows = 1

    def advance(self) -> None:
        """One more evaluation of a batch of ``rows`` is about to begin."""
        self._report(min(self._done / self._total, 1.0))
        self._done += self.rows


def _in_pixels(world: Box, pixel: int) -> Box:
    return Box(world.row // pixel, world.col // pixel, world.height // pixel, world.width // pixel)

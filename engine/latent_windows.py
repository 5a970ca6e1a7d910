"""Joint diffusion over a lattice of windows that agree where they overlap.

Windows lie at multiples of the model's stride in the world. In every stage each window is carried on alone;
between stages the clean latents of overlapping windows are blended (``engine.tiling.blend``) and take new
noise, which is keyed by seed, draw and world cell, so that windows that overlap take the same (after
InfiniteDiffusion, arXiv:2512.08309). What a window comes to thus depends on (job, window) alone: on its
neighbours one stage earlier, on theirs two stages earlier, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.joint_inputs import JointContext, JointInputs
from engine.joint_settings import JointSettings
from engine.latent_lattice import LatentLattice
from engine.modalities.filling import filled
from engine.models.item import ModelItem
from engine.models.joint_schema import Group
from engine.raster.grid import latitude_longitude
from engine.tiling.blend import Blender
from engine.tiling.lattice import Box
from engine.tiling.plan import Kept

if TYPE_CHECKING:
    from engine.distant_view import DistantView
    from engine.samplers.staged import Stage
    from engine.translators.joint_diffusion import JointTranslator, Rows

Array = NDArray[np.float32]
Latents = dict[str, Array]
Found = dict[tuple[int, Box], Latents]
_KEPT_LATENT_BYTES = 256 << 20
_KEPT_IMAGE_BYTES = 192 << 20
_ROWS_AT_ONCE = 256


class LatentWindows:
    """Evaluates the windows of a job, each once while it is remembered.

    Args:
        item: The model.
        settings: Of the job.
        inputs: Of the job.
        seed: Of the job.
        lattice: Where windows and tiles lie.
        translator: The networks on their device.
        stages: Of the sampling, see ``engine.samplers.staged.plan_stages``.
        afar: Takes the place of the first stage, with the windows that it is made of.
    """

    def __init__(
        self,
        item: ModelItem,
        settings: JointSettings,
        inputs: JointInputs,
        seed: int,
        lattice: LatentLattice,
        translator: JointTranslator,
        stages: Sequence[Stage],
        afar: tuple[DistantView, LatentWindows] | None = None,
    ) -> None:
        self._afar = afar
        self._item, self._settings, self._inputs, self._seed = item, settings, inputs, seed
        self._lattice, self._translator, self._stages = lattice, translator, tuple(stages)
        self._groups = {group.name: group for group in item.groups}
        self._wanted = [self._groups[name] for name in settings.generate]
        latent_bytes = sum(4 * g.latent.channels * g.latent.height * g.latent.width for g in item.groups)
        self._latents: Kept[Latents] = Kept(_KEPT_LATENT_BYTES // latent_bytes)
        self._moments: Kept[Latents] = Kept(_KEPT_LATENT_BYTES // (2 * latent_bytes))
        side = item.sampler.window_px
        self._images: Kept[Array] = Kept(_KEPT_IMAGE_BYTES // (16 * side * side))

    def made(
        self,
        box: Box,
        context: JointContext,
        report: Callable[[float], None],
        draws: range | None = None,
    ) -> Iterator[dict[str, Array]]:
        """Every draw of a box of the layer, first to last.

        Args:
            box: Where.
            context: What is given over the cone of the box.
            report: Called before each evaluation of the denoiser with the share of the work that is done;
                may raise to cancel.
            draws: Numbers of the draws; None: all of the job.

        Yields:
            Group -> (C, h, w) float32 in the model's range, in pixels of the group over the smallest box of
            whole group pixels around ``box`` (vectors: pixels of the layer over ``box``); NaN where no window
            has valid inputs.
        """
        levels = self._lattice.levels(box, len(self._stages))
        active = [[w for w in level if self._is_active(w, context)] for level in levels]
        rows = max(1, len(active[-1]))
        draws = range(self._settings.samples) if draws is None else draws
        together = max(1, min(len(draws), _ROWS_AT_ONCE // rows))
        progress = _Progress(report, self._work(active))
        for first in range(draws.start, draws.stop, together):
            samples = range(first, min(first + together, draws.stop))
            latents = self._sampled(active, context, samples, progress)
            for sample in samples:
                yield self._decoded(box, latents, sample)

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
            if self._afar and stage.index == 0:
                continue
            keys = ((stage.index, s, w) for s in range(self._settings.samples) for w in windows)
            total += stage.evaluations * sum(self._latents.get(key) is None for key in keys)
        return total

    def _sampled(
        self, active: list[list[Box]], context: JointContext, samples: range, progress: _Progress
    ) -> Found:
        """Clean latents after the last stage by (draw, window): blended, of the images."""
        before: Found = {}
        done = 0
        for stage, windows in zip(self._stages, active, strict=True):
            if self._afar and stage.index == 0:
                before = self._seen_from_afar(windows, samples, context)
                done += stage.evaluations
                continue
            before = self._stage(stage, windows, samples, context, before, done, progress)
            done += stage.evaluations
        return before

    def _seen_from_afar(self, windows: list[Box], samples: range, context: JointContext) -> Found:
        """Latents of the distant view over each window, in place of those of a first stage."""
        view, wide = self._afar
        keys = [(sample, window) for sample in samples for window in windows]
        found = {key: self._latents.get((0, *key)) for key in keys}
        if None in found.values():
            made = wide.made(view.box(windows), context.distant, lambda share: None, samples)
            for sample, images in zip(samples, view.images(windows, made), strict=True):
                for window in windows:
                    latents = {g.name: self._encoded(g, images[window][g.name]) for g in self._wanted}
                    found[sample, window] = latents
                    self._latents.put((0, sample, window), latents)
        return found

    def _encoded(self, group: Group, image: Array) -> Array:
        """The mean latent of an image."""
        if group.latent.autoencoder is None:
            return image
        moments = self._translator.moments(group.name, image[None])[0]
        return np.float32(group.latent.scale) * moments[: group.latent.channels]

    def _stage(
        self,
        stage: Stage,
        windows: list[Box],
        samples: range,
        context: JointContext,
        before: Found,
        done: int,
        progress: _Progress,
    ) -> Found:
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
            rows = self._rows(part, context, before)
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
        before: Found,
    ) -> Rows:
        from engine.translators.joint_diffusion import Rows

        windows = list(dict.fromkeys(window for _, window in part))
        moments = self._window_moments(windows, context)
        conditions = {name: np.stack([moments[w][name] for _, w in part]) for name in self._inputs.given}
        clean = None
        if before:
            blended = [self._blended(window, sample, before) for sample, window in part]
            clean = {g.name: np.stack([latents[g.name] for latents in blended]) for g in self._wanted}
        corners = {
            group.name: [self._lattice.corner(group, window) for _, window in part]
            for group in self._item.groups
        }
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

    def _blended(self, window: Box, sample: int, latents: Found) -> Latents:
        """What overlapping windows agree on over one of them; a vector is each window's own."""
        return {
            group.name: latents[sample, window][group.name]
            if group.is_vector
            else self._agreed(group, self._lattice.cells(group, window), sample, latents)
            for group in self._wanted
        }

    def _agreed(self, group: Group, cells: Box, sample: int, latents: Found) -> Array:
        """(C, h, w) blended latent over a box of world cells; NaN where no window has a say."""
        blender = Blender(group.latent.channels, cells)
        weights = self._lattice.weights(group.latent.height)
        for window in self._lattice.over(group, cells):
            if (sample, window) in latents:
                values = latents[sample, window][group.name]
                blender.feed(self._lattice.cells(group, window), values, weights)
        return blender.data

    def _decoded(self, box: Box, latents: Found, sample: int) -> dict[str, Array]:
        """Images of a draw over a box."""
        found = {}
        for group in self._wanted:
            if group.is_vector:
                found[group.name] = self._spread_vector(group, box, latents, sample)
            elif self._lattice.is_local(group):
                found[group.name] = self._pasted(group, box, latents, sample)
            else:
                found[group.name] = self._overlapped(group, box, latents, sample)
        return found

    def _pasted(self, group: Group, box: Box, latents: Found, sample: int) -> Array:
        """Through a decoder that is local: tiles with all the context that they depend on, cut to fit."""
        target, halo = self._lattice.pixels(group, box), group.latent.decoder_halo or 0
        result: Array | None = None
        for tile in self._lattice.tiles(group, box):
            image = self._images.get((sample, group.name, tile))
            if image is None:
                cells = self._agreed(group, tile.grown(halo), sample, latents)
                if np.isnan(cells).all():
                    continue
                image = self._translator.decode(group.name, np.nan_to_num(cells)[None])[0]
                factor = image.shape[1] // cells.shape[1]
                inner = slice(halo * factor, (halo * factor and -halo * factor) or None)
                image = np.ascontiguousarray(image[:, inner, inner])
                self._images.put((sample, group.name, tile), image)
            if result is None:
                result = np.full((len(image), target.height, target.width), np.nan, dtype=np.float32)
            place = tile.scaled(image.shape[1] // tile.height)
            common = place.intersection(target)
            rows, cols = common.within(place).slices
            result[(slice(None), *common.within(target).slices)] = image[:, rows, cols]
        return np.full((1, target.height, target.width), np.nan, np.float32) if result is None else result

    def _overlapped(self, group: Group, box: Box, latents: Found, sample: int) -> Array:
        """Through a decoder that looks at all of a window: windows decoded alone and blended."""
        windows = [w for w in self._lattice.windows(box) if (sample, w) in latents]
        images = {window: self._images.get((sample, group.name, window)) for window in windows}
        missing = [window for window, image in images.items() if image is None]
        if missing:
            cells = [self._agreed(group, self._lattice.cells(group, w), sample, latents) for w in missing]
            for window, image in zip(
                missing, self._translator.decode(group.name, np.stack(cells)), strict=True
            ):
                images[window] = image
                self._images.put((sample, group.name, window), image)
        channels = len(next(iter(images.values()))) if images else 1
        blender = Blender(channels, self._lattice.pixels(group, box))
        weights = self._lattice.weights(self._item.sampler.window_px // group.pixel)
        for window in windows:
            blender.feed(self._lattice.pixels(group, window), images[window], weights)
        return blender.data

    def _spread_vector(self, group: Group, box: Box, latents: Found, sample: int) -> Array:
        """(3, H, W): each window's vector over its pixels, blended."""
        side, origin = self._item.sampler.window_px, self._inputs.layer.origin
        blender, weights = Blender(3, box.shifted(*origin)), self._lattice.weights(side)
        for window in self._lattice.windows(box):
            if (sample, window) in latents:
                vector = latents[sample, window][group.name].reshape(3, 1, 1)
                blender.feed(window.shifted(*origin), np.broadcast_to(vector, (3, side, side)), weights)
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

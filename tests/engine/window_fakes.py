"""A scene and networks made of formulas, with the interfaces of the real ones: windows cost microseconds.

Every cell of a fake result depends on its whole window, its draw, its stage and its place, so a window that
is given anything else gives other numbers.
"""

from types import SimpleNamespace

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from engine.joint_inputs import JointContext
from engine.joint_settings import JointSettings
from engine.latent_lattice import LatentLattice
from engine.latent_windows import LatentWindows
from engine.models.encodings import Position, Reflectance
from engine.models.joint_schema import Group, GroupBand, Latent, Sampler, check_groups
from engine.models.schema import Tiling
from engine.raster.grid import Grid
from engine.samplers.staged import plan_stages
from engine.tiling.noise import gaussian

CELL = 4  # pixels of a latent cell
# Pixels of the job to a pixel of the group.
GIVEN = {"fine": 1, "coarse": 2}
WANTED = {"image": 1, "wide": 2, "local": 1}
HALO = {"local": 1}  # cells; the other decoders look at a whole window
_STEPS = 8


def image_group(name, pixel, cells):
    return Group(
        name=name,
        modality=name,
        latent=Latent(channels=1, height=cells, width=cells, patch=1, decoder_halo=HALO.get(name)),
        encoding=Reflectance(kind="reflectance"),
        bands=(GroupBand(name="B04"),),
        pixel=pixel,
    )


class FakeScene:
    """A job over a layer: two given groups, three wanted ones and a wanted vector.

    Attributes:
        lattice: Of the windows.
        box: The layer.
        holes: Boxes of world pixels without valid inputs.
        unknown: What the inputs hold there.
        windows: Made new by ``reopened``, as in another process.
        networks: Stand for the translator, and tell what they were given.
    """

    def __init__(
        self, cells, stride, box, origin, stages=2, samples=1, holes=(), generate=(*WANTED, "place")
    ):
        window, self.box, self.origin = cells * CELL, box, origin
        place = Group(
            name="place",
            modality="position",
            latent=Latent(channels=1, height=1, width=3, patch=1),
            encoding=Position(kind="position"),
        )
        groups = (
            *(image_group(name, pixel, cells) for name, pixel in (GIVEN | WANTED).items()),
            place,
        )
        sampler = Sampler(heads=1, steps=_STEPS, stages=stages, window_px=window, stride_px=stride * CELL)
        check_groups(groups, sampler)
        tiling = Tiling(mode="lattice", window_px=window, stride_px=stride * CELL)
        self.item = SimpleNamespace(groups=groups, sampler=sampler, tiling=tiling)
        self.lattice = LatentLattice(self.item, generate, origin)
        self.stages = plan_stages(_STEPS, stages, "singlestep")
        self.layer = Grid(
            CRS.from_epsg(32633), Affine(10, 0, 500_000, 0, -10, 5_000_000), box.width, box.height, origin
        )
        self.settings = JointSettings(generate, _STEPS, stages, "singlestep", "mean", 0.0, False, samples)
        self.holes, self.unknown = holes, 0.0
        self.reopened()

    def reopened(self):
        """Forgets all windows."""
        self.networks = FakeNetworks(self.item)
        inputs = SimpleNamespace(
            images=dict.fromkeys(GIVEN), vectors={}, given=tuple(GIVEN), layer=self.layer
        )
        self.windows = LatentWindows(
            self.item, self.settings, inputs, 7, self.lattice, self.networks, self.stages
        )
        return self

    def context(self, box):
        """What is given over a box, a formula of the world's pixels."""
        images, known, valid = {}, {}, np.ones((box.height, box.width), bool)
        for name, pixel in GIVEN.items():
            rows = (np.arange(0, box.height, pixel) + box.row + self.origin[0]) // pixel
            cols = (np.arange(0, box.width, pixel) + box.col + self.origin[1]) // pixel
            values = np.sin(rows / 7)[:, None] + np.cos(cols / 5)[None]
            dead = np.zeros(values.shape, bool)
            for hole in self.holes:
                low, high = (edge // pixel for edge in hole.rows)
                left, right = (edge // pixel for edge in hole.cols)
                dead |= np.outer((low <= rows) & (rows < high), (left <= cols) & (cols < right))
            values[dead] = self.unknown
            images[name], known[name] = values[None].astype(np.float32), ~dead
            valid &= (~dead).repeat(pixel, axis=0).repeat(pixel, axis=1)
        return JointContext(box, images, known, valid)

    def made(self, box, report=lambda share: None):
        """Every draw of a box: a list of group -> image."""
        context = self.context(self.lattice.seen(box, len(self.stages)))
        return list(self.windows.made(box, context, report))

    def valid(self, box):
        """(H, W) bool."""
        around = box.snapped_out(2, self.origin)
        return self.context(around).valid[box.within(around).slices]


class FakeNetworks:
    """The interface of ``JointTranslator`` with formulas behind it.

    Attributes:
        encoded, decoded: Number of images, by group.
        evaluated: (stage, draw, corner) of each row, in order.
        clean: What rows started a stage from: (stage, draw, corner) -> group -> (C, h, w).
        evaluations: Batches that were announced.
    """

    batch = 3

    def __init__(self, item):
        self._groups = {group.name: group for group in item.groups}
        self.encoded, self.decoded = dict.fromkeys(GIVEN, 0), dict.fromkeys(WANTED, 0)
        self.evaluated, self.clean, self.evaluations = [], {}, 0

    def moments(self, group, images):
        self.encoded[group] += len(images)
        count, bands, height, width = images.shape
        cells = self._groups[group].latent.height
        pooled = images.reshape(count, bands, cells, height // cells, cells, width // cells).mean(axis=(3, 5))
        return np.concatenate([pooled, np.zeros_like(pooled)], axis=1)

    def run(self, stage, rows, settings, seed, first_evaluation, on_evaluation):
        for _ in range(-(-len(rows) // self.batch) * stage.evaluations):
            self.evaluations += 1
            on_evaluation()
        found = {name: [] for name in settings.generate}
        for row, sample in enumerate(rows.samples):
            key = stage.index, sample, rows.corners["image"][row]
            self.evaluated.append(key)
            self.clean[key] = rows.clean and {name: values[row] for name, values in rows.clean.items()}
            seen = sum(
                float(values[row].mean()) * (1 + i) for i, values in enumerate(rows.conditions.values())
            )
            for number, name in enumerate(settings.generate):
                latent = self._groups[name].latent
                plane = stage.index << 8 | number
                size = latent.height, latent.width
                state = gaussian(seed, sample, plane, *rows.corners[name][row], *size)[None]
                if rows.clean is not None:
                    state = 0.7 * rows.clean[name][row] + 0.6 * state
                whole = np.float32(0.3 * float(state.mean()) + seen)
                found[name].append(np.sin(state) + np.roll(state, 1, axis=2) / 4 + whole)
        return {name: np.stack(values).astype(np.float32) for name, values in found.items()}

    def decode(self, group, latents):
        factor = CELL // self._groups[group].pixel
        self.decoded[group] += len(latents)
        if group in HALO:
            latents = latents + np.roll(latents, 1, axis=2) / 2 + np.roll(latents, -1, axis=3) / 4
        else:
            latents = latents + latents.mean(axis=(1, 2, 3), keepdims=True) / 2
        return latents.repeat(factor, axis=2).repeat(factor, axis=3)


def assembled(scene, boxes):
    """Draws of the whole layer from those of its parts: group -> image, NaN where no part was."""
    canvas = [
        {name: np.full(shape, np.nan, np.float32) for name, shape in _shapes(scene).items()}
        for _ in range(scene.settings.samples)
    ]
    for box in boxes:
        for whole, part in zip(canvas, scene.made(box), strict=True):
            for name, image in part.items():
                place = _place(scene, name, box).within(_place(scene, name, scene.box))
                whole[name][(slice(None), *place.slices)] = image
    return canvas


def _pixel(name):
    return WANTED.get(name, 1)


def _place(scene, name, box):
    """A box of the layer in pixels of a group, in the world."""
    pixel = _pixel(name)
    world = box.snapped_out(pixel, scene.origin).shifted(*scene.origin)
    return type(box)(world.row // pixel, world.col // pixel, world.height // pixel, world.width // pixel)


def _shapes(scene):
    places = {name: _place(scene, name, scene.box) for name in scene.settings.generate}
    return {name: (3 if name == "place" else 1, box.height, box.width) for name, box in places.items()}

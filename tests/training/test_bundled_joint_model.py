"""The bundled any-to-any model: what it says of itself, and that it follows what it is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the [train] extra")

import rasterio
from rasterio.transform import from_origin

from engine import job as engine_job
from engine.models.item import ModelItem
from engine.models.verify import verify
from engine.spec import Job
from training.datasets import ombria

FOLDER = Path(__file__).resolve().parents[2] / "resources" / "models"
HELD_OUT = {"o032", "o074", "2021_ALBANIA"}
IMAGES, SIDE_PX = 6, 128


@pytest.fixture(scope="module")
def item() -> ModelItem:
    return verify(FOLDER / "any-to-any").item


@pytest.mark.parametrize("name", ["any-to-any", "any-to-any-fast"])
def test_it_says_what_it_is(name):
    item = verify(FOLDER / name).item
    assert item.weights_path.stat().st_size <= 10_000_000
    assert set(item.takes) == set(item.gives) == {"dem", "lulc", "s1_rtc", "s2_l2a"}
    assert "demonstration" in item.title
    assert "synthetic" in item.description
    assert len(item.training["commit"].rstrip("+")) == 40


def test_places_held_out_are_named(item):
    held_out = {pattern.removesuffix(".*") for pattern in item.training["never_trained_on"]}
    assert held_out >= HELD_OUT | {"terramesh-433D_629L_3_1"}
    assert "Contains modified Copernicus Sentinel data" in item.training["notice"]


@pytest.mark.parametrize(("group", "score"), [("s2", "rmse"), ("s2", "mae"), ("s1", "rmse"), ("s1", "mae")])
def test_a_sample_is_closer_than_the_image_of_another_place(item, group, score):
    scores = item.metrics["directions"][f"all others to {group}"][group]
    assert scores["sample"][score] < 0.85 * scores["other_real_images"][score]


def test_land_cover_is_closer_than_that_of_another_place(item):
    scores = item.metrics["directions"]["all others to lulc"]["lulc"]
    assert scores["sample"]["accuracy"] > scores["other_real_images"]["accuracy"] + 0.1


def test_held_out_images_are_recognised_in_what_was_made(eo_data, tmp_path):
    """Made from radar and land cover, an image resembles its own truth more than that of the others."""
    pairs = [pair for pair in ombria.load(eo_data) if pair.location in HELD_OUT]
    chosen = [pairs[i] for i in np.linspace(0, len(pairs) - 1, IMAGES).round().astype(int)]
    truths = [coarse(pair.optical[:, :SIDE_PX, :SIDE_PX]) for pair in chosen]
    made = [translated(pair, tmp_path / str(number)) for number, pair in enumerate(chosen)]
    likeness = np.array([[likeness_of(image, truth) for truth in truths] for image in made])
    own = np.eye(IMAGES, dtype=bool)
    assert likeness[own].mean() > likeness[~own].mean() + 0.15, likeness.round(2)
    assert (likeness.argmax(axis=1) == np.arange(IMAGES)).sum() >= IMAGES // 2, likeness.round(2)


def translated(pair, folder: Path) -> np.ndarray:
    """(3, H, W) reflectance at 20 m."""
    folder.mkdir()
    part = np.s_[:SIDE_PX, :SIDE_PX]
    write(folder / "s1.tif", pair.sar["VV"][part])
    write(folder / "lulc.tif", np.where(pair.mask == 255, 0, pair.mask + 1)[part].astype(np.uint8))
    inputs = {
        "s1_rtc": {"path": str(folder / "s1.tif"), "units": "relative"},
        "lulc": {"path": str(folder / "lulc.tif"), "legend": "model"},
    }
    settings = {"generate": ["s2_l2a"], "device": "cpu", "threads": 2, "anchor": "scene"}
    engine_job.run(
        Job(model=str(FOLDER / "any-to-any"), inputs=inputs, output=str(folder / "s2.tif"), **settings)
    )
    with rasterio.open(folder / "s2.tif") as file:
        scale, offset = (np.array(found)[:, None, None] for found in (file.scales, file.offsets))
        return coarse(file.read() * scale + offset)


def write(path: Path, band: np.ndarray) -> None:
    grid = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 10, 10)}
    shape = {"height": band.shape[0], "width": band.shape[1], "count": 1, "dtype": band.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **grid) as file:
        file.write(band, 1)


def coarse(image: np.ndarray) -> np.ndarray:
    bands, height, width = image.shape
    return image.reshape(bands, height // 2, 2, width // 2, 2).mean(axis=(2, 4))


def likeness_of(image: np.ndarray, truth: np.ndarray) -> float:
    """Mean correlation of the bands."""
    return float(
        np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(image, truth, strict=True)])
    )

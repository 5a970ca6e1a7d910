from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_pairs import make_pair, write_raster

from engine.errors import InputError
from training.datasets import ombria, rasters, samples
from training.datasets.pairs import CLASSES, NO_CLASS, data_root
from training.datasets.pseudo_labels import majority, pseudo_label


def test_layers_on_other_grids_are_aligned(data_set):
    pairs = rasters.load(data_set)
    made = make_pair(2)
    pair = next(p for p in pairs if p.location == "place2")
    np.testing.assert_allclose(pair.optical, made.optical, atol=1e-4)
    assert pair.sar["VV"].shape == pair.elevation.shape == (96, 96)
    inner = np.s_[8:-8, 8:-8]
    assert np.corrcoef(pair.elevation[inner].ravel(), made.elevation[inner].ravel())[0, 1] > 0.9
    assert np.corrcoef(pair.sar["VH"][inner].ravel(), made.sar["VH"][inner].ravel())[0, 1] > 0.7


def test_nodata_becomes_nan(tmp_path):
    data = np.ones((1, 16, 16), np.float32)
    data[0, :4] = -9999
    path = write_raster(tmp_path / "a.tif", data, nodata=-9999)
    read = rasters.on_grid(path, path)
    assert np.isnan(read[0, :4]).all()
    assert (read[0, 4:] == 1).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sar,location\na.tif,x\n", "lacks the column optical"),
        ("optical,location\nno.tif,x\n", "cannot be read"),
    ],
)
def test_a_bad_index_is_one_sentence(tmp_path, text, message):
    index = tmp_path / "index.csv"
    index.write_text(text)
    with pytest.raises(InputError, match=message):
        rasters.load(index)


def test_missing_data_folder_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="EO_DATA"):
        data_root(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("reflectance", "name"),
    [
        ((0.02, 0.03, 0.06), "water"),
        ((0.10, 0.60, 0.62), "snow"),
        ((0.12, 0.30, 0.04), "trees"),
        ((0.28, 0.45, 0.07), "grass_crops"),
        ((0.25, 0.25, 0.11), "shrub_sparse"),
        ((0.35, 0.28, 0.18), "bare"),
    ],
)
def test_pseudo_labels_of_typical_spectra(reflectance, name):
    optical = np.array(reflectance, np.float32)[:, None, None] * np.ones((1, 20, 20), np.float32)
    assert (pseudo_label(optical) == CLASSES.index(name)).all()


def test_rough_bright_ground_is_built_and_clouds_have_no_class():
    rough = 0.25 + 0.1 * np.random.default_rng(0).standard_normal((1, 40, 40)).clip(-1, 1).astype(np.float32)
    town = np.concatenate([rough * 1.1, rough, rough * 0.8])
    assert (pseudo_label(town) == CLASSES.index("built")).mean() > 0.8
    cloudy = np.full((3, 40, 40), 0.1, np.float32)
    cloudy[:, 10:20, 10:20] = 0.6
    assert (pseudo_label(cloudy)[10:20, 10:20] == NO_CLASS).all()
    unknown = np.full((3, 20, 20), np.nan, np.float32)
    assert (pseudo_label(unknown) == NO_CLASS).all()


def test_majority_removes_specks_and_keeps_fields():
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 20:] = 3
    labels[5, 5] = labels[30, 30] = 1
    cleaned = majority(labels, 7)
    assert (cleaned[:, :20] == 0).all()
    assert (cleaned[:, 20:] == 3).all()


def test_ombria_patches_of_a_scene_share_one_scale(eo_data: Path):
    pairs = {pair.name: pair for pair in ombria.load(eo_data)}
    assert len(pairs) == 689
    left, right = pairs["ombria_0003_before"], pairs["ombria_0004_before"]
    assert left.statistics[1] == right.statistics[1] != left.statistics[0]
    step = np.abs(left.sar["VV"][:, -1] - right.sar["VV"][:, 0]).mean()
    assert step < 0.5 * left.sar["VV"].std()
    assert 0.05 < left.optical.mean() < 0.5


def test_sample_pairs_are_reflectance_and_db(eo_data: Path):
    pairs = samples.load(eo_data)
    assert len(pairs) == 11
    for pair in pairs:
        assert 0.01 < np.nanmean(pair.optical) < 0.7
        assert -30 < np.nanmean(pair.sar["VH"]) < np.nanmean(pair.sar["VV"]) < 0

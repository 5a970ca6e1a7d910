import hashlib
import warnings

import numpy as np
import pytest
import rasterio

from engine.errors import InputError, OutputError
from engine.sample_scene import fields, landscape, radar, scene

SIZE = 384


@pytest.fixture(scope="module")
def place():
    return scene.simulate(SIZE, seed=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return scene.write(tmp_path_factory.mktemp("scene"), SIZE, seed=1)


def db_mean(sar, where):
    return 10 * np.log10(np.mean(10 ** (sar[:, where] / 10), axis=1))


def test_a_seed_gives_the_same_bytes_and_another_seed_another_place(files, tmp_path):
    again = scene.write(tmp_path / "again", SIZE, seed=1)
    other = scene.write(tmp_path / "other", SIZE, seed=2)
    digest = {name: hashlib.sha256(path.read_bytes()).digest() for name, path in files.items()}
    assert {name: hashlib.sha256(path.read_bytes()).digest() for name, path in again.items()} == digest
    for name, path in other.items():
        assert hashlib.sha256(path.read_bytes()).digest() != digest[name]


def test_files_share_one_projected_grid_and_say_what_they_hold(files):
    grids = set()
    for path in files.values():
        with rasterio.open(path) as file:
            grids.add((file.crs.to_string(), file.transform, file.shape))
            assert file.tags()["SYNTHETIC"] == "YES"
            assert np.all(file.read_masks() == 255)
    assert len(grids) == 1
    crs, transform, shape = grids.pop()
    assert (crs, transform.a, transform.e, shape) == ("EPSG:32632", 10.0, -10.0, (SIZE, SIZE))
    with rasterio.open(files["sar"]) as sar:
        assert (sar.descriptions, sar.units, sar.dtypes) == (("VV", "VH"), ("dB", "dB"), ("float32",) * 2)
        assert np.isnan(sar.nodata)
    with rasterio.open(files["optical"]) as optical:
        assert (optical.descriptions, optical.nodata) == (("B11", "B8", "B3"), 0)
        assert optical.scales == pytest.approx((1 / 255,) * 3)


def test_all_lowland_covers_occur_in_worldcover_codes(place):
    values = set(np.unique(place.mask).tolist())
    assert {10, 20, 30, 40, 50, 80} <= values <= {10, 20, 30, 40, 50, 60, 80}


def test_water_is_dark_towns_are_bright_and_vh_is_below_vv(place):
    water, crops, town = (db_mean(place.sar, place.mask == value) for value in (80, 40, 50))
    assert water[0] < crops[0] - 3 < town[0] - 3
    assert np.all(place.sar.mean((1, 2))[1] < place.sar.mean((1, 2))[0] - 3)


def test_optical_obeys_the_water_rule_and_plants_are_bright_in_the_near_infrared(place):
    swir, nir, green = place.optical
    water, trees = place.mask == 80, place.mask == 10
    # The 20 m pixels of B11 mix water with its banks.
    assert np.mean(green[water] > swir[water]) > 0.8
    assert np.mean(green[~water] > swir[~water]) < 0.02
    assert np.mean(nir[trees] > 2 * green[trees]) > 0.95
    assert np.all((place.optical >= 0) & (place.optical <= 1))


def test_speckle_has_the_stated_number_of_looks():
    speckle = radar._speckle(np.random.default_rng(0), 512)
    assert speckle.mean() == pytest.approx(1, abs=0.02)
    assert speckle.mean() ** 2 / speckle.var() == pytest.approx(radar.EQUIVALENT_LOOKS, rel=0.05)


def _ridge(steepness):
    """A ridge along the columns 60 to 140 of a 200 x 200 grid."""
    columns = np.arange(200) * 10.0
    profile = np.maximum(0, steepness * (400 - np.abs(columns - 1000)))
    return np.broadcast_to(profile, (200, 200)).astype(np.float32)


def _image(ridge):
    return radar._geocoded(np.full((1, 200, 200), 0.1, np.float32), ridge, 10.0)[0, 50:150]


def test_flat_ground_returns_its_own_backscatter():
    image = radar._geocoded(np.full((1, 200, 200), 0.1, np.float32), np.zeros((200, 200), np.float32), 10.0)
    inner = image[0, 50:150, 20:180]
    # Gamma nought times cos(incidence) is sigma nought.
    assert inner == pytest.approx(0.1 * np.cos(np.deg2rad(radar.INCIDENCE_DEG)), rel=0.02)


def test_a_gentle_slope_is_brighter_towards_the_radar_and_darker_away_from_it():
    image = _image(_ridge(0.3))
    facing, away, flat = image[:, 65:95].mean(), image[:, 105:135].mean(), image[:, 10:40].mean()
    assert facing > 1.3 * flat
    assert away < flat / 1.3
    assert away > 0.2 * flat


def test_a_steep_ridge_lies_over_the_ground_before_it_and_casts_a_shadow_behind():
    image, flat = _image(_ridge(2.0)), 0.1 * np.cos(np.deg2rad(radar.INCIDENCE_DEG))
    assert image[:, 15:35].mean() > 1.5 * flat
    # The shadow ends where the ray over the crest meets the plain: 100 + 800 m * tan(39 deg) / 10 m.
    assert image[:, 125:160].max() < 0.01 * flat
    assert image[:, 170:190].mean() == pytest.approx(flat, rel=0.05)


def test_backscatter_is_conserved_by_the_geometry():
    rng = np.random.default_rng(4)
    hills = 12 * fields.fractal(rng, 256, 2.0, 100)  # no layover
    gamma0 = rng.uniform(0.05, 0.2, (1, 256, 256)).astype(np.float32)
    image = radar._geocoded(gamma0, hills - hills.min(), 10.0)
    assert image[0, 60:-60, 60:-60].mean() == pytest.approx(gamma0.mean() * np.cos(np.deg2rad(39)), rel=0.1)


def test_every_cell_of_the_eroded_terrain_drains_to_one_outlet():
    _, drainage, catchment, _ = landscape._erode(np.random.default_rng(2), 64, 40.0)
    assert np.count_nonzero(drainage.receiver == np.arange(64 * 64)) == 1
    whole = landscape.RIVER_CATCHMENT_KM2 + 64 * 64 * 0.04**2
    assert catchment.max() == pytest.approx(whole, rel=1e-6)


def test_the_reservoir_is_level_and_water_lies_below_its_surroundings():
    land = landscape.build(np.random.default_rng([1, 0]), 512, 10.0)
    reservoir = land.water & ~land.river
    assert reservoir.any()
    assert land.river.any()
    assert np.ptp(land.elevation[reservoir]) < 0.01
    near = fields.smooth(land.river, 4)
    bank = (near > 0.05) & ~land.water
    assert land.elevation[land.river].mean() < land.elevation[bank].mean()


def test_smoothing_keeps_constants_and_enlarging_keeps_planes():
    assert fields.smooth(np.full((40, 50), 3.0), 4) == pytest.approx(3.0)
    rows, columns = np.mgrid[0:20, 0:20].astype(np.float32)
    fine_rows, fine_columns = (np.mgrid[0:80, 0:80] + 0.5) / 4 - 0.5
    fine = fields.enlarge(2 * rows - columns, 4)
    assert fine[8:-8, 8:-8] == pytest.approx((2 * fine_rows - fine_columns)[8:-8, 8:-8], abs=1e-4)


@pytest.mark.parametrize("size", [128, 131, 250])
def test_any_size_is_finite_and_free_of_warnings(size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        place = scene.simulate(size, seed=9)
    assert place.sar.shape == (2, size, size)
    assert np.isfinite(place.sar).all()
    assert np.isfinite(place.dem).all()


@pytest.mark.parametrize("arguments", [{"size": 20}, {"size": 10**6}, {"seed": -1}])
def test_a_bad_size_or_seed_is_refused_with_one_sentence(arguments):
    with pytest.raises(InputError, match=r"^[A-Z][^\n]*\.$"):
        scene.simulate(**arguments)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        scene.write(tmp_path / "file" / "scene", 128)

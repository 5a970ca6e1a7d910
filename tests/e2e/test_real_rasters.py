"""Real Sentinel-1 scenes and land-cover masks through ``qgis_process``, on exactly the input's grid."""

from typing import NamedTuple

import numpy as np
import pytest
from e2e_rasters import assert_same_grid, open_raster, pixels


class Case(NamedTuple):
    algorithm: str
    main: str
    others: dict
    settings: dict


CASES = {
    "TerraMesh RTC with DEM": Case(
        "sartooptical",
        "terramind/S1RTC/282D_485L_3_3.tif",
        {"DEM": "terramind/DEM/282D_485L_3_3.tif"},
        {},
    ),
    "Sen1Floods11, geographic CRS": Case("sartooptical", "sen1floods11/Spain_7370579_S1Hand.tif", {}, {}),
    "OMBRIA patch, PNG without CRS": Case("sartooptical", "ombria/s1_before/*.png", {}, {}),
    "OMBRIA mosaic, no CRS, holes": Case(
        "sartooptical", "ombria_mosaic/scene_s06_s1_vv_harmonised.tif", {}, {}
    ),
    "Strath, linear power, VV in band 2": Case(
        "sartooptical", "strath_dip/S1_linear_256.tif", {}, {"VV_BAND": 2, "VH_BAND": 1}
    ),
    "SSL4EO, VV alone": Case("sartooptical", "ssl4eo_s12/s1/VV.tif", {}, {}),
    "TerraMesh land cover": Case(
        "masktoimage", "terramind/LULC/433D_629L_3_1.tif", {}, {"LEGEND": "terramesh-lulc"}
    ),
    "NLCD, 30 m, odd CRS": Case("masktoimage", "zion/nlcd2011.tif", {}, {"LEGEND": "nlcd"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_real_raster_gives_an_image_on_its_own_grid(qgis, data, out, name):
    case = CASES[name]
    source = sorted(data.glob(case.main))[0]
    main = "SAR" if case.algorithm == "sartooptical" else "MASK"
    others = {key: data / path for key, path in case.others.items()}
    outcome = qgis.run(
        f"eo_translate:{case.algorithm}",
        **{main: source, **others, **case.settings, "OUTPUT": out / "image.tif"},
    )
    assert outcome.code == 0, outcome.stderr
    assert_same_grid(out / "image.tif", source)
    image = pixels(out / "image.tif")
    with open_raster(source) as given:
        bands = [case.settings.get("VV_BAND", 1)]
        valid = np.all(given.read_masks(bands) > 0, axis=0) & np.isfinite(given.read(bands)).all(axis=0)
    assert np.array_equal(np.all(image > 0, axis=0), valid)
    assert image[:, valid].std(axis=1).min() > 1
    with open_raster(out / "image.tif") as made:
        assert made.tags()["SYNTHETIC"] == "yes"

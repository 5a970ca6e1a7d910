import json

import numpy as np
import pytest
import rasterio
from rasters import write
from tiny_models import DEM_INPUT, SAR_INPUT

from engine.errors import InputError
from engine.models.schema import ContinuousInput
from engine.raster.bands import BandList, choose_bands

SAR = ContinuousInput.model_validate_json(json.dumps(SAR_INPUT))
DEM = ContinuousInput.model_validate_json(json.dumps(DEM_INPUT))
OPTICAL = SAR.model_copy(
    update={
        "bands": tuple(
            SAR.bands[0].model_copy(update={"name": n, "common_name": c})
            for n, c in (("B08", "nir"), ("B11", None))
        )
    }
)


def choose(tmp_path, entry, names, asked=None, **profile):
    path = write(tmp_path / "a.tif", np.ones((len(names), 4, 5), np.uint8), names=names, **profile)
    with rasterio.open(path) as dataset:
        return choose_bands(BandList([dataset]), entry, asked)


@pytest.mark.parametrize(
    ("entry", "names", "asked", "bands"),
    [
        (SAR, ["", ""], None, [1, 2]),
        (SAR, [""], None, [1, None]),
        (SAR, ["VH", "VV"], None, [2, 1]),
        (SAR, ["Sigma0_VH_db", "angle", "Sigma0_VV_db"], None, [3, 1]),
        (SAR, ["angle", "vv"], None, [2, None]),
        (SAR, ["", "", ""], [2, 1], [2, 1]),
        (SAR, ["VH", "VV"], ["VV"], [2, None]),
        (SAR, ["a", "b", "c"], ["c", 1], [3, 1]),
        (DEM, ["Height above ellipsoid"], None, [1]),
        (DEM, ["slope", "DEM"], None, [2]),
        (OPTICAL, ["B11", "B3", "B8"], None, [3, 1]),
        (OPTICAL, ["SWIR", "NIR", "B11"], None, [2, 3]),
    ],
)
def test_bands_by_order_name_and_number(tmp_path, entry, names, asked, bands):
    assert choose(tmp_path, entry, names, asked) == bands


@pytest.mark.parametrize(
    ("entry", "names", "asked", "word"),
    [
        (SAR, ["", "", ""], None, "3 bands"),
        (SAR, ["VH"], None, "VV"),
        (SAR, ["VV_asc", "VV_desc"], None, "could be VV"),
        (SAR, ["", ""], [3], "bands 1 to 2"),
        (SAR, ["VV", "VH"], ["HH"], "no band named 'HH'"),
        (SAR, ["VV", "VH"], [1, 2, 1], "3 bands"),
        (DEM, ["", ""], None, "2 bands"),
    ],
)
def test_doubt_is_a_sentence(tmp_path, entry, names, asked, word):
    with pytest.raises(InputError, match=word) as error:
        choose(tmp_path, entry, names, asked)
    assert "a.tif" in str(error.value)


def test_alpha_is_no_band(tmp_path):
    path = write(tmp_path / "a.tif", np.ones((2, 4, 5), np.uint8), ALPHA="YES")
    with rasterio.open(path) as dataset:
        assert choose_bands(BandList([dataset]), SAR, None) == [1, None]

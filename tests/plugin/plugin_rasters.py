"""Small rasters for the plugin's tests, written by QGIS's own GDAL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from osgeo import gdal, osr


def write_geotiff(path: Path, bands: np.ndarray, nodata: float | None = None, epsg: int = 32632) -> str:
    """Writes (C, H, W) with 10 m pixels."""
    types = {"uint8": gdal.GDT_Byte, "int16": gdal.GDT_Int16, "float32": gdal.GDT_Float32}
    count, height, width = bands.shape
    raster = gdal.GetDriverByName("GTiff").Create(str(path), width, height, count, types[bands.dtype.name])
    raster.SetGeoTransform((500000, 10, 0, 5000000, 0, -10))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(epsg)
    raster.SetProjection(crs.ExportToWkt())
    for number, band in enumerate(bands, 1):
        raster.GetRasterBand(number).WriteArray(band)
        if nodata is not None:
            raster.GetRasterBand(number).SetNoDataValue(nodata)
    raster.FlushCache()
    return str(path)


def speckle(size: int, count: int = 2) -> np.ndarray:
    """Backscatter as linear power, dark on the left and bright on the right."""
    ramp = np.geomspace(0.01, 0.3, size)[None, None, :]
    looks = np.random.default_rng(1).gamma(4.4, 1 / 4.4, (count, size, size))
    return (ramp * looks).astype(np.float32)

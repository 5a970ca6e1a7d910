"""What to compare, as one JSON document: the same for the command line, the worker and QGIS."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.spec import InputRaster


class Comparison(BaseModel):
    """Results against the truth.

    Attributes:
        reference: The truth; its grid is the one that is compared on.
        results: One raster, or several samples of one place.
        kind: ``continuous``: measured values; ``classes``: codes of classes, or in a result with several
            bands the score of every class.
        value_range: What counts as the smallest and the largest value, for PSNR, SSIM and pictures. None:
            0..1 for reflectance, else the reference's own range.
        weights: Files of trained networks, for scores that look through one.
        multispectral: For QNR: the coarse multispectral image that the results sharpen.
        pan: For QNR: the fine panchromatic image.
        tile_px: Side of the tiles that are compared as images, reference pixels.
        html: Report to write.
        json_file: File with all numbers to write.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: InputRaster
    results: Annotated[tuple[InputRaster, ...], Field(min_length=1, max_length=1000)]
    kind: Literal["continuous", "classes"] = "continuous"
    value_range: tuple[float, float] | None = None
    weights: tuple[str, ...] = ()
    multispectral: InputRaster | None = None
    pan: InputRaster | None = None
    tile_px: Annotated[int, Field(ge=32, le=1024)] = 256
    html: str | None = None
    json_file: str | None = None

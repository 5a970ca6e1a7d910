"""The Job: everything that a run depends on, as one JSON document.

The same Job gives the same pixels through every front end (toolbox, ``qgis_process``, command line, Python).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# How a run is carried out; what it gives does not depend on these.
HANDLING = frozenset(["threads", "resume"])

Extent = tuple[float, float, float, float]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputRaster(_Strict):
    """One raster given for one modality.

    Attributes:
        path: Anything GDAL opens as a local raster; or several, whose bands are stacked in order. A file
            with one band without a name then goes by its file name (``scene_VV.tif``).
        bands: Band numbers (from 1) or band names, in the order of the model's bands; None lets names and
            then the file's order decide.
        units: ``linear`` (power), ``db``, ``relative`` (a display stretch of dB) for SAR; ``DN``,
            ``DN + 1000`` (Sentinel-2 from processing baseline 04.00 on) or ``reflectance`` for Sentinel-2;
            ``auto`` tells them apart.
        scale: Factor on the stored values, applied before everything else.
        offset: Added after ``scale``.
        nodata: Overrides the file's nodata value.
        legend: For class masks: a bundled legend's name, or raster value -> model class name.
        statistics: ``{band: (mean, standard deviation)}`` in the model's units, for scene-relative models;
            for any-to-any models what a result's tag STATISTICS says.
            None: measured over the whole raster. Give the same numbers to neighbouring scenes that must join.
    """

    path: str | Annotated[tuple[str, ...], Field(min_length=1)]
    bands: tuple[int | str, ...] | None = None
    units: Literal["auto", "linear", "db", "relative", "DN", "DN + 1000", "reflectance"] = "auto"
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    legend: str | dict[int, str] | None = None
    statistics: dict[str, tuple[float, ...]] | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """``path`` as a tuple, for one file too."""
        return (self.path,) if isinstance(self.path, str) else self.path


class Job(_Strict):
    """A translation, fully described.

    Attributes:
        model: Name of an installed or bundled model, or the folder of a model package.
        model_sha256: Refuse to run if the package's weights hash differs; None accepts and records it.
        inputs: Modality (``sar``, ``dem``, ``mask`` ...) -> raster. None: an any-to-any model makes images
            from nothing, over ``extent``.
        generate: Modalities to make, for any-to-any models; an ``output`` by modality says it too.
        output: The GeoTIFF to write: first sample; or one a modality.
        uncertainty: Optional GeoTIFF with per-band mean and standard deviation over the samples, or one a
            modality.
        extent: xmin, ymin, xmax, ymax in ``extent_crs`` (default: the output CRS); None: the
            whole reference raster.
        crs, resolution: Output grid other than the reference raster's own; CRS units per pixel.
        samples: How many draws of the noise; they differ by noise alone.
        all_samples: Write every sample: the second beside the first as ``NAME_v2.tif`` and so on.
        seed: Keys the noise together with the sample index and the world pixel.
        steps, guidance, prompt: For families that have them; an error for those that do not.
        stages: How often a diffusion model reconciles overlapping windows; None: as its package says.
        context: Draw the scene first in pixels so many times as wide, and fill it in: where absolute level
            matters (heights, tone). None: every window goes by what it sees.
        anchor: Where a diffusion model's windows lie: ``world``: at places that are the same for all scenes,
            so that neighbours join; ``scene``: from the corner of the extent on and as few as possible, for a
            single scene (one that fits a window is one window, as the authors of COP-GEN have it).
        solver: Of the diffusion model; None: as its package says.
        posterior: Whether conditions are drawn from the autoencoder's posterior or its mean is taken; None:
            as the package says.
        published_ignored: Treat modalities that are neither given nor generated as the authors of COP-GEN did
            (new noise at every step, declared clean); only to reproduce their results.
        date: Day of the scene, ``YYYY-MM-DD``, for models that know dates.
        position: Latitude and longitude (degrees), or ``scene``: of each window, from its georeference.
        device: ``auto`` takes CUDA when it works and says which.
        precision: Arithmetic of the network.
        profile: ``deterministic``: the same job gives the same pixels on the same kind of device; ``fast``
            lets the libraries choose algorithms by measuring them and round matrix products more coarsely.
        format: Tiled GeoTIFF, Cloud Optimized GeoTIFF, or ``vrt``: a folder of GeoTIFFs, one a chunk, and a
            file that joins them.
        creation_options: GDAL creation options, on top of ours.
        threads: CPU threads for the network; None: all cores.
        chunk_px: Side of the squares (input px) in which the work is done and resumed; changes no pixel.
            None: as many as make about 1024 output pixels.
        resume: What to do with an interrupted run of this output: ``ask`` stops and says so, ``continue``
            goes on from it and keeps what is finished when cancelled, ``restart`` removes it.
    """

    model: str
    model_sha256: str | None = None
    inputs: dict[str, InputRaster] = {}
    generate: tuple[str, ...] = ()
    output: str | Annotated[dict[str, str], Field(min_length=1)]
    uncertainty: str | dict[str, str] | None = None
    extent: Extent | None = None
    extent_crs: str | None = None
    crs: str | None = None
    resolution: Annotated[float, Field(gt=0)] | None = None
    samples: Annotated[int, Field(ge=1, le=1000)] = 1
    all_samples: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    steps: Annotated[int, Field(ge=1, le=1000)] | None = None
    stages: Annotated[int, Field(ge=1, le=16)] | None = None
    context: Annotated[int, Field(ge=2, le=64)] | None = None
    anchor: Literal["world", "scene"] = "world"
    guidance: Annotated[float, Field(ge=-100, le=100)] | None = None
    solver: Literal["singlestep", "multistep", "consistency"] | None = None
    posterior: Literal["sample", "mean"] | None = None
    published_ignored: bool = False
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    position: tuple[float, float] | Literal["scene"] | None = None
    prompt: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    profile: Literal["deterministic", "fast"] = "deterministic"
    format: Literal["gtiff", "cog", "vrt"] = "gtiff"
    creation_options: dict[str, str] = {}
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    chunk_px: Annotated[int, Field(ge=32, le=4096)] | None = None
    resume: Literal["ask", "continue", "restart"] = "ask"

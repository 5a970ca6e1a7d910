"""The fields of a model package: ``eo_translate:*`` properties of a STAC Item with the MLM extension.

Everything is checked when the package is loaded, so later code need not doubt any of it. Values are read
strictly: the number 3 is not the text "3", and an unknown key inside an ``eo_translate:`` field is an error,
since it is a typing mistake or a newer format.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

VERSION = 1
PICKLE_SUFFIXES = frozenset({".pth", ".pt", ".ckpt", ".pkl", ".pickle", ".joblib"})
WEIGHT_SUFFIXES = frozenset({".onnx", ".safetensors"})

_MAX_OVERLAP = 256  # windows over a pixel along one side; more would never end
_DTYPE_LIMITS = {"uint8": (0, 255), "uint16": (0, 65535), "int16": (-32768, 32767)}

NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
Name = Annotated[str, StringConstraints(pattern=f"^{NAME_PATTERN}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_. -]{0,63}$")]
Modality = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Text = Annotated[str, StringConstraints(max_length=20_000)]
TensorName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Positive = Annotated[float, Field(gt=0)]
Precision = Literal["float32", "float16", "bfloat16"]
Pixels = Annotated[int, Field(ge=1, le=65536)]
Interval = tuple[float, float]
Color = tuple[
    Annotated[int, Field(ge=0, le=255)],
    Annotated[int, Field(ge=0, le=255)],
    Annotated[int, Field(ge=0, le=255)],
]


class Strict(BaseModel):
    """Base of every checked object: frozen, no coercion, no unknown keys, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _check_interval(name: str, interval: Interval | None) -> None:
    if interval is not None and not interval[0] < interval[1]:
        raise ValueError(f"{name} must be two rising numbers, and {list(interval)} is not")


class Scene(Strict):
    """(x - scene mean) / scene standard deviation, band by band; statistics of the whole raster."""

    kind: Literal["scene"]
    clip: Interval | None = None


class SceneMean(Strict):
    """(x - scene mean) / scale."""

    kind: Literal["scene-mean"]
    scale: Positive
    clip: Interval | None = None


class Constant(Strict):
    """(x - mean) / std, one number a band."""

    kind: Literal["constant"]
    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    std: Annotated[tuple[Positive, ...], Field(min_length=1)]
    clip: Interval | None = None


class Linear(Strict):
    """x * scale + offset."""

    kind: Literal["linear"]
    scale: float = 1.0
    offset: float = 0.0
    clip: Interval | None = None


Normalisation = Annotated[Scene | SceneMean | Constant | Linear, Field(discriminator="kind")]


class InputBand(Strict):
    """One band of a continuous input; an absent optional one is fed as zeros, its validity plane too."""

    name: Word
    required: bool = True
    common_name: Word | None = None
    wavelength_um: Positive | None = None


class MaskClass(Strict):
    """One class of a one-hot input; its place in the list is its channel."""

    name: Word
    color: Color


class ContinuousInput(Strict):
    """Measured values, normalised and stacked as (1, C, H, W)."""

    modality: Modality
    tensor: TensorName
    required: bool = True
    encoding: Literal["continuous"]
    bands: Annotated[tuple[InputBand, ...], Field(min_length=1, max_length=1024)]
    units: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    normalisation: Normalisation
    validity_planes: bool = False
    layout: Literal["NCHW", "NHWC"] = "NCHW"

    @property
    def channels(self) -> int:
        """Channels of the tensor: the bands, then one validity plane a band where the model wants them."""
        return len(self.bands) * (2 if self.validity_planes else 1)

    @model_validator(mode="after")
    def _consistent(self) -> ContinuousInput:
        names = [band.name for band in self.bands]
        if len(set(names)) != len(names):
            raise ValueError(f"band names must differ, and {names} has one twice")
        _check_interval("normalisation.clip", self.normalisation.clip)
        if isinstance(self.normalisation, Constant):
            for field in ("mean", "std"):
                found = len(getattr(self.normalisation, field))
                if found != len(names):
                    raise ValueError(
                        f"normalisation.{field} must have one number a band ({len(names)}), and has {found}"
                    )
        if not self.validity_planes and not all(band.required for band in self.bands):
            raise ValueError("a band can only be optional (required: false) where validity_planes is true")
        return self


class OneHotInput(Strict):
    """A class map, fed as one 0/1 plane a class; a nodata pixel is 0 in all of them."""

    modality: Modality
    tensor: TensorName
    required: bool = True
    encoding: Literal["one-hot"]
    classes: Annotated[tuple[MaskClass, ...], Field(min_length=1, max_length=254)]
    default_legend: str | None = None
    layout: Literal["NCHW", "NHWC"] = "NCHW"

    @property
    def channels(self) -> int:
        """Channels of the tensor: one a class."""
        return len(self.classes)

    @model_validator(mode="after")
    def _consistent(self) -> OneHotInput:
        names = [entry.name.casefold() for entry in self.classes]
        if len(set(names)) != len(names):
            raise ValueError(f"class names must differ, and {names} has one twice")
        return self


Input = Annotated[ContinuousInput | OneHotInput, Field(discriminator="encoding")]


class Noise(Strict):
    """N(0, 1) planes keyed by world pixel: plane i is constant over cells of ``cells_px[i]`` pixels."""

    tensor: TensorName
    cells_px: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=1024)
    ]


class OutputBand(Strict):
    """One band of the result. ``color`` is its GDAL colour interpretation."""

    name: Word
    common_name: Word | None = None
    wavelength_um: Positive | None = None
    color: Literal["red", "green", "blue", "gray"] | None = None


class Output(Strict):
    """The result: physical value = stored value * scale + offset; the tensor holds physical values."""

    modality: Modality
    tensor: TensorName
    bands: Annotated[tuple[OutputBand, ...], Field(min_length=1, max_length=1024)]
    range: Interval
    dtype: Literal["uint8", "uint16", "int16", "float32"]
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    units: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    display: Interval | None = None
    scale_factor: Annotated[int, Field(ge=1, le=16)] = 1
    layout: Literal["NCHW", "NHWC"] = "NCHW"

    @model_validator(mode="after")
    def _consistent(self) -> Output:
        names = [band.name for band in self.bands]
        if len(set(names)) != len(names):
            raise ValueError(f"band names must differ, and {names} has one twice")
        _check_interval("range", self.range)
        _check_interval("display", self.display)
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        if self.dtype in _DTYPE_LIMITS:
            self._check_integers(*_DTYPE_LIMITS[self.dtype])
        return self

    def _check_integers(self, low: int, high: int) -> None:
        if self.nodata is not None and not (low <= self.nodata <= high and self.nodata == int(self.nodata)):
            raise ValueError(
                f"nodata must be a whole number from {low} to {high} for {self.dtype}, and is {self.nodata}"
            )
        stored = sorted((value - self.offset) / self.scale for value in self.range)
        if stored[0] < low - 0.51 or stored[1] > high + 0.51:
            raise ValueError(
                f"range {list(self.range)} gives stored values {stored[0]:g} to {stored[1]:g} with this "
                "scale and offset, "
                f"which do not fit {self.dtype} ({low} to {high})"
            )


class Tiling(Strict):
    """How the model is run over a large raster (input pixels).

    ``crop``: the network is local; windows are read with ``halo_px`` around them and the halo is thrown away.
    ``lattice``: it is not; windows of ``window_px`` every ``stride_px`` are blended.

    Attributes:
        stride_multiple: Every window's size and world offset is a multiple of this (total down-sampling).
        halo_px: Context that the result of a pixel depends on (crop mode), a multiple of ``stride_multiple``.
        window_px: Side of the largest window fed to the network, halo included.
        stride_px: Distance of neighbouring windows, lattice mode only.
        fixed_window: The network takes windows of exactly ``window_px`` and nothing else.
    """

    mode: Literal["crop", "lattice"]
    stride_multiple: Annotated[int, Field(ge=1, le=4096)] = 1
    halo_px: Annotated[int, Field(ge=0, le=32768)] = 0
    window_px: Pixels
    stride_px: Pixels | None = None
    fixed_window: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Tiling:
        for field in ("halo_px", "window_px", "stride_px"):
            value = getattr(self, field)
            if value is not None and value % self.stride_multiple:
                raise ValueError(
                    f"{field} must be a multiple of stride_multiple ({self.stride_multiple}), and is {value}"
                )
        if self.mode == "lattice":
            if self.stride_px is None or self.stride_px > self.window_px:
                raise ValueError(
                    f"stride_px must be from 1 to window_px ({self.window_px}) in lattice mode, and is "
                    f"{self.stride_px}"
                )
            if self.stride_px * _MAX_OVERLAP < self.window_px:
                raise ValueError(
                    f"stride_px must be at least window_px / {_MAX_OVERLAP}, which is "
                    f"{self.window_px / _MAX_OVERLAP:g}, and is {self.stride_px}"
                )
        elif self.stride_px is not None:
            raise ValueError(f"stride_px must be null in crop mode, and is {self.stride_px}")
        elif self.window_px <= 2 * self.halo_px:
            raise ValueError(
                f"window_px must be more than twice halo_px ({self.halo_px}), and is {self.window_px}"
            )
        return self

"""S2, S3 and S4 of an axis from its sums, and whether they pass.

Every number is the seam phase's against other phases of the same residue modulo ``Lines.multiple_px``: a
pattern that the network prints everywhere is in both and cancels.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.seams.profiles import Profile

S2_Z_BAR = 3.0
S3_BAR = (0.98, 1.02)
S4_BAR = 0.97
SIGNIFICANT = 3.0
_NEAREST = 8  # comparable phases on each side: near ones see the same landscape
_MIN_PHASES = 8
_ALIKE = 1.5  # ratio of pixel counts
_NORMAL = {1: 0.8413, 2: 0.9772}  # share of a normal distribution below k standard deviations
_MIN_CONTRASTS = 8


@dataclass(frozen=True)
class Figure:
    """One number of the benchmark.

    Attributes:
        name: ``S2``, ``S3`` or ``S4``.
        value: The ratio; 1 is seamless. None: nothing to compute it from.
        z: Its distance from what other places of the same image give, in their standard deviations.
        verdict: ``pass``, ``fail`` or ``unclear``.
        reason: Why it is unclear; empty otherwise.
    """

    name: str
    value: float | None
    z: float | None
    verdict: str
    reason: str = ""


@dataclass(frozen=True)
class Axis:
    """What one axis shows.

    Attributes:
        name: ``rows`` or ``columns``: what the lines lie between.
        lines: Seam lines inside the raster.
        segments: Tile sides along these lines that had enough valid pixels.
        figures: S2, S3, S4; none if there is no line.
        step, gradient: (P,) S2 and S3 of every phase, 1 = as its neighbours.
        energy: (P,) relative high-frequency energy of the pixels of every phase.
    """

    name: str
    lines: int
    segments: int
    figures: tuple[Figure, ...]
    step: NDArray[np.float64]
    gradient: NDArray[np.float64]
    energy: NDArray[np.float64]


def judge(name: str, profile: Profile, size: int) -> Axis:
    """The figures of one axis of a raster that is ``size`` pixels long across its lines."""
    lines = profile.lines
    offsets = list(lines.offsets_px)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # phases without a pixel are NaN
        step = relative(np.sqrt(profile.step2 / profile.step_n), lines.multiple_px)
        gradient = relative(profile.gradient / profile.gradient_n, lines.multiple_px)
        energy = _relative_energy(profile)
    inside = lines.inside(size)
    segments = int(profile.segments[offsets].sum()) if inside else 0
    figures: tuple[Figure, ...] = ()
    if inside:
        others = [_alike(pixels, offsets) for pixels in (profile.step_n, profile.gradient_n)]
        figures = (_s2(step, offsets, others[0]), _s3(gradient, offsets, others[1]), _s4(energy, profile))
    return Axis(name, inside, segments, figures, step, gradient, energy)


def relative(values: NDArray[np.float64], multiple: int) -> NDArray[np.float64]:
    """Each phase over the median of the nearest other phases of its residue.

    Args:
        values: (C, P), NaN where there is nothing.
        multiple: Comparable phases differ by a multiple of this, a divisor of P.

    Returns:
        (P,), the root mean square over bands; NaN where there is nothing to compare.
    """
    bands, period = values.shape
    count = period // multiple
    cyclic = values.reshape(bands, count, multiple)
    reach = min(_NEAREST, (count - 1) // 2)
    if reach < 1:
        return np.full(period, np.nan)
    shifts = [s for s in range(-reach, reach + 1) if s]
    others = np.nanmedian([np.roll(cyclic, s, axis=1) for s in shifts], axis=0)
    ratio = np.where(others > 0, cyclic / others, np.nan)
    return np.sqrt(np.nanmean(ratio**2, axis=0)).reshape(period)


def _relative_energy(profile: Profile) -> NDArray[np.float64]:
    """(P,) energy of each phase over the median of those of its residue outside the overlap."""
    lines = profile.lines
    energy = (profile.energy / profile.energy_n).mean(axis=0).reshape(-1, lines.multiple_px)
    outside = np.ones(lines.period_px, dtype=bool)
    outside[lines.overlap_phases()] = False
    outside = outside.reshape(energy.shape)
    reference = np.nanmedian(np.where(outside | ~outside.any(axis=0), energy, np.nan), axis=0)
    return (energy / reference).reshape(-1)


def _s2(step: NDArray[np.float64], offsets: list[int], others: NDArray[np.bool_]) -> Figure:
    if _nothing(step, offsets, others):
        return _none("S2")
    value = float(np.nanmax(step[offsets]))
    z = _z(value, step[others])
    return Figure("S2", value, z, "pass" if z < S2_Z_BAR else "fail")


def _s3(gradient: NDArray[np.float64], offsets: list[int], others: NDArray[np.bool_]) -> Figure:
    if _nothing(gradient, offsets, others):
        return _none("S3")
    value = float(max(gradient[offsets], key=lambda ratio: abs(np.nan_to_num(ratio, nan=1.0) - 1)))
    z = _z(value, gradient[others])
    if S3_BAR[0] <= value <= S3_BAR[1]:
        return Figure("S3", value, z, "pass")
    if abs(z) >= SIGNIFICANT:
        return Figure("S3", value, z, "fail")
    return Figure("S3", value, z, "unclear", "other phases of this image differ as much")


def _s4(energy: NDArray[np.float64], profile: Profile) -> Figure:
    phases = profile.lines.overlap_phases()
    if _nothing(energy, phases, np.isfinite(energy)):
        return _none("S4")
    value = float(np.nanmin(energy[phases]))
    contrasts = np.array(profile.contrasts)
    z = None
    if len(contrasts) >= _MIN_CONTRASTS and contrasts.std() > 0:
        z = float(contrasts.mean() / (contrasts.std(ddof=1) / np.sqrt(len(contrasts))))
    if value > S4_BAR:
        return Figure("S4", value, z, "pass")
    if z is None:
        return Figure("S4", value, z, "unclear", "too few tiles to tell it from the landscape")
    if z <= -SIGNIFICANT:
        return Figure("S4", value, z, "fail")
    return Figure("S4", value, z, "unclear", "tiles of this image differ as much")


def _alike(pixels: NDArray[np.float64], offsets: list[int]) -> NDArray[np.bool_]:
    """(P,) the phases without a seam that have about as many pixels: fewer of them scatter more."""
    wanted = pixels[offsets].max()
    alike = (pixels > 0) & (pixels >= wanted / _ALIKE) & (pixels <= wanted * _ALIKE)
    alike[offsets] = False
    return alike


def _nothing(profile: NDArray[np.float64], phases: list[int], others: NDArray[np.bool_]) -> bool:
    return not np.isfinite(profile[phases]).any() or np.isfinite(profile[others]).sum() < _MIN_PHASES


def _none(name: str) -> Figure:
    return Figure(name, None, None, "unclear", "too few pixels or phases to compare with")


def _z(value: float, others: NDArray[np.float64]) -> float:
    """Distance of the seam phase from the other phases' median, in their standard deviations.

    The spread is the robust one (1.4826 MAD), or more where the tail on the value's side is longer than a
    normal distribution's: edges of fields and roads give landscapes long tails, seams or not.
    """
    others = others[np.isfinite(others)]
    middle = np.median(others)
    distances = (others - middle) * (1 if value >= middle else -1)
    tail = [np.quantile(distances, share) / deviations for deviations, share in _NORMAL.items()]
    spread = max(1.4826 * np.median(np.abs(distances)), *tail, 1e-9)
    return float((value - middle) / spread)

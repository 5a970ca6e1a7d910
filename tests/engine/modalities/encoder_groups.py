"""Groups of every kind of encoding, and physical values that fit them."""

import numpy as np

from engine.models import encodings
from engine.models.joint_schema import Group, GroupBand, Latent

CLASSES = tuple(
    encodings.CodedClass(value=value, name=name, color=(value, 0, 0))
    for value, name in ((0, "No data"), (1, "Water"), (4, "Reed"), (200, "Town"))
)
ENCODINGS = {
    "sentinel2-thumbnail": encodings.Sentinel2Thumbnail(kind="sentinel2-thumbnail"),
    "sentinel1-thumbnail": encodings.Sentinel1Thumbnail(kind="sentinel1-thumbnail"),
    "hillshade-thumbnail": encodings.HillshadeThumbnail(kind="hillshade-thumbnail", spacing_px=3),
    "reflectance": encodings.Reflectance(kind="reflectance"),
    "backscatter": encodings.Backscatter(kind="backscatter", db=(-50.0, 30.0), floor=1e-5),
    "height": encodings.Height(kind="height", log=(0.0, 9.0), floor=1e-6),
    "classes": encodings.Classes(kind="classes", classes=CLASSES),
    "linear": encodings.Linear(kind="linear", scale=-0.02, offset=0.1, units="K"),
    "standardised": encodings.Standardised(kind="standardised", deviations=4.0, units="m"),
}
BANDS = {
    "sentinel2-thumbnail": ("B04", "B03", "B02"),
    "sentinel1-thumbnail": ("VV", "VH"),
    "reflectance": ("B04", "B08"),
    "backscatter": ("VV", "VH"),
}
# Physical values that the model's range can hold.
RANGES = {
    "sentinel2-thumbnail": (0, 10_000),
    "sentinel1-thumbnail": (-35, 5),
    "hillshade-thumbnail": (0, 3000),
    "reflectance": (0, 10_000),
    "backscatter": (-49, 29),
    "height": (1e-3, 8000),
    "linear": (-44, 54),
    "standardised": (-5, 5),
}


def group(kind):
    bands = tuple(GroupBand(name=name) for name in BANDS.get(kind, ("band",)))
    latent = Latent(channels=4, height=8, width=8)
    return Group(name="group", modality="modality", latent=latent, encoding=ENCODINGS[kind], bands=bands)


def scene(kind, seed, height=40, width=50):
    """Physical values of a scene, (C, H, W)."""
    rng = np.random.default_rng(seed)
    shape = (len(BANDS.get(kind, ("band",))), height, width)
    if kind == "classes":
        return rng.choice([entry.value for entry in CLASSES], shape).astype(np.float32)
    return rng.uniform(*RANGES[kind], shape).astype(np.float32)


def padded(values, valid, margin):
    """A scene with nothing around it."""
    around = ((margin, margin), (margin, margin))
    return np.pad(values, ((0, 0), *around), constant_values=np.nan), np.pad(valid, around)

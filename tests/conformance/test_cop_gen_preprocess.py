"""Physical values to the models' range and back, against the numbers of the authors' code."""

import hashlib
from datetime import date

import cop_gen_data as data
import numpy as np
import pytest

from engine.errors import InputError
from engine.modalities.cells import centred_patches, resized_levels
from engine.modalities.encoders import encoder
from engine.modalities.physical import decibels
from engine.modalities.published import published_groups
from engine.modalities.thumbnails import from_levels
from engine.modalities.vectors import date_of, date_vector, position_of, position_vector
from engine.models.encodings import HillshadeThumbnail, Sentinel1Thumbnail, Sentinel2Thumbnail
from engine.models.joint_schema import Group, GroupBand, Latent

PHYSICAL = (data.index("cop_gen") or {}).get("preprocess", {})
TENSORS = (
    {k: v.numpy() for k, v in data.read_tensors("cop_gen", PHYSICAL["tensors"]).items()} if PHYSICAL else {}
)
THUMBNAILS = data.ROOT / "cop_gen_beta/preprocess/thumbnails.npz"
RELATIVE = 1e-6  # of max(1, |value|), the set's README


def cases(section):
    """Groups that the section has, or one skipped parameter that says why there are none."""
    found = sorted({name.split(".")[1] for name in TENSORS if name.split(".")[0] == section})
    if found:
        return found
    reason = f"no {section}.* in {data.ROOT}/cop_gen (set EO_CONFORMANCE)"
    return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]


def group(name):
    return next(group for group in published_groups("cop-gen") if group.name == name)


def as_image(values):
    """The set stores one row of values; any group may be asked, whatever its number of bands."""
    return values.reshape(1, 1, -1)


def assert_near(found, expected):
    found, expected = np.float64(found), np.float64(expected)
    assert np.isfinite(found).all()
    worst = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    assert worst.max() <= RELATIVE


def encoded(name, x):
    given = group(name)
    physical = decibels(x) if given.modality == "s1_rtc" else x
    return encoder(given).encode(physical, np.ones(x.shape[1:], bool), {})


def decoded(name, x):
    """What the authors give back: linear power and DN."""
    given = group(name)
    result = encoder(given).decode(x)
    assert result.dtype == np.float32
    if given.modality == "s1_rtc":
        return np.maximum(np.float32(10) ** (result / np.float32(10)), given.encoding.floor)
    return result * np.float32(10_000) if given.encoding.kind == "reflectance" else result


def assert_given_back(name, found, expected):
    if group(name).encoding.kind == "reflectance":
        expected = np.clip(expected, 0, 65_535)  # what the output's type can hold
    assert_near(found, expected)


@pytest.mark.parametrize("name", cases("pre"))
def test_cop_gen_values_in(name):
    x, y = as_image(TENSORS[f"pre.{name}.x"]), as_image(TENSORS[f"pre.{name}.y"])
    finite = np.isfinite(y)
    found = encoded(name, x)
    assert np.isfinite(found).all()
    assert_near(found[finite], y[finite])


@pytest.mark.parametrize("name", cases("pre_db"))
def test_cop_gen_decibels_in(name):
    x, y = as_image(TENSORS[f"pre_db.{name}.x"]), as_image(TENSORS[f"pre_db.{name}.y"])
    assert_near(encoder(group(name)).encode(x, np.ones(x.shape[1:], bool), {}), y)


@pytest.mark.parametrize("name", cases("post"))
def test_cop_gen_values_out(name):
    x, y = as_image(TENSORS[f"post.{name}.x"]), as_image(TENSORS[f"post.{name}.y"])
    finite = np.isfinite(x)
    assert_given_back(name, decoded(name, x[finite].reshape(1, 1, -1)), y[finite].reshape(1, 1, -1))


@pytest.mark.parametrize("name", cases("roundtrip"))
def test_cop_gen_values_there_and_back(name):
    x, y = as_image(TENSORS[f"pre.{name}.x"]), as_image(TENSORS[f"roundtrip.{name}"])
    finite = np.isfinite(x) & np.isfinite(y)
    found = decoded(name, encoded(name, x))
    assert_given_back(name, found[finite], y[finite])


@data.needs("cop_gen", "keys.json")
def test_cop_gen_groups_have_the_published_constants():
    told = data.read_json("cop_gen", "keys.json")["groups"]
    groups = published_groups("cop-gen")
    assert [entry["name"] for entry in told] == [given.name for given in groups]
    for entry, given in zip(told, groups, strict=True):
        latent = given.latent
        assert [latent.channels, latent.height, latent.width] == entry["latent"]
        assert (latent.patch, latent.scale) == (entry["patch"], entry["scale_factor"] or 1.0)
        assert [band.name.lower() for band in given.bands] == [band.lower() for band in entry["bands"]]
        if entry["min_positive"] is not None:
            ends = getattr(given.encoding, "db", None) or given.encoding.log
            assert (*ends, given.encoding.floor) == (
                entry["min_db"],
                entry["max_db"],
                entry["min_positive"],
            )


@pytest.mark.skipif(not PHYSICAL, reason="no preprocess in the index (set EO_CONFORMANCE)")
def test_cop_gen_class_codes():
    told = data.read_json("cop_gen", PHYSICAL["values"])["classes"]
    for name, entry in told.items():
        (given,) = (g for g in published_groups("cop-gen") if g.name.endswith(name))
        codes = {str(c.value): index for index, c in enumerate(given.encoding.classes)}
        assert codes == entry["code_to_index"]


@pytest.mark.parametrize("name", cases("onehot"))
def test_cop_gen_classes_in(name):
    codes, planes = TENSORS[f"onehot.{name}.codes"], TENSORS[f"onehot.{name}.y"]
    known = np.isin(codes[0], [entry.value for entry in group(name).encoding.classes])
    found = encoder(group(name)).encode(codes, known, {})
    np.testing.assert_array_equal(found, planes)  # a pixel without a class is of class 0, as theirs
    if not known.all():
        with pytest.raises(InputError, match="does not know"):
            encoder(group(name)).encode(codes, np.ones_like(known), {})


@pytest.mark.parametrize("name", cases("decode"))
def test_cop_gen_classes_out(name):
    for x, codes in zip(TENSORS[f"decode.{name}.x"], TENSORS[f"decode.{name}.codes"], strict=True):
        np.testing.assert_array_equal(encoder(group(name)).decode(x), codes)


@pytest.mark.skipif("date.encoded" not in TENSORS, reason="no date.* (set EO_CONFORMANCE)")
def test_cop_gen_dates():
    days = [date(*ymd) for ymd in data.read_json("cop_gen", PHYSICAL["values"])["date.ymd"]]
    for day, expected in zip(days, TENSORS["date.encoded"], strict=True):
        assert_near(date_vector(day), expected.ravel())
    for vectors, expected in (("encoded", "decoded_dmy"), ("raw", "raw_decoded_dmy")):
        found = [date_of(vector.ravel()) for vector in TENSORS[f"date.{vectors}"]]
        assert [[d.day, d.month, d.year] for d in found] == TENSORS[f"date.{expected}"].reshape(
            -1, 3
        ).tolist()


@pytest.mark.skipif("latlon.deg" not in TENSORS, reason="no latlon.* (set EO_CONFORMANCE)")
def test_cop_gen_positions():
    for place, expected in zip(TENSORS["latlon.deg"], TENSORS["latlon.xyz"], strict=True):
        assert_near(position_vector(*place), expected.ravel())
    for vectors, expected in (("xyz", "decoded"), ("raw_xyz", "raw_decoded")):
        pairs = zip(TENSORS[f"latlon.{vectors}"], TENSORS[f"latlon.{expected}"], strict=True)
        for vector, place in pairs:
            found = position_of(vector.ravel(), published=True)
            np.testing.assert_allclose(found, place.ravel(), rtol=0, atol=1e-4)


def thumbnail_group(encoding, bands):
    return Group(
        name="thumbnail",
        modality="thumbnail",
        latent=Latent(channels=4, height=32, width=32),
        encoding=encoding,
        bands=tuple(GroupBand(name=band) for band in bands.split()),
    )


def assert_picture(found, expected):
    """(C, H, W) of the model against (H, W[, C]) levels, one level off allowed by the set's README."""
    levels = (found + 1) * 127.5
    np.testing.assert_allclose(levels, np.atleast_3d(expected).transpose(2, 0, 1), rtol=0, atol=1.001)
    assert (np.abs(levels - np.atleast_3d(expected).transpose(2, 0, 1)) > 0.5).mean() < 1e-3


@pytest.fixture(scope="module")
def thumbnails():
    if not THUMBNAILS.is_file():
        pytest.skip(f"no {THUMBNAILS} (set EO_CONFORMANCE)")
    with np.load(THUMBNAILS) as stored:
        return {name: stored[name] for name in stored.files}


def test_cop_gen_beta_true_colour(thumbnails):
    made = encoder(thumbnail_group(Sentinel2Thumbnail(kind="sentinel2-thumbnail"), "B04 B03 B02"))
    numbers = np.stack([thumbnails[f"s2_{band}"] for band in ("B04", "B03", "B02")]).astype(np.float32)
    assert_picture(made.encode(numbers, np.ones(numbers.shape[1:], bool), {}), thumbnails["s2_rgb"])


def test_cop_gen_beta_radar(thumbnails):
    made = encoder(thumbnail_group(Sentinel1Thumbnail(kind="sentinel1-thumbnail"), "VV VH"))
    power = np.stack([thumbnails["s1_vv"], thumbnails["s1_vh"]])
    values = np.where(power == -32768, np.nan, decibels(power))
    valid = np.ones(power.shape[1:], bool)
    assert_picture(made.encode(values, valid, made.statistics([(values, valid)])), thumbnails["s1_rgb"])


@pytest.mark.parametrize("name", ["dem", "dem_flat"])
def test_cop_gen_beta_hillshade(thumbnails, name):
    made = encoder(thumbnail_group(HillshadeThumbnail(kind="hillshade-thumbnail"), "DEM"))
    values = np.pad(thumbnails[name], made.margin_px, constant_values=np.nan)[None]
    valid = np.ones(values.shape[1:], bool)
    found = made.encode(values, valid, made.statistics([(values, valid)]))
    assert_picture(found, thumbnails[f"{name}_hillshade"][..., None].repeat(3, axis=2))


def test_cop_gen_beta_levels():
    np.testing.assert_array_equal(from_levels(np.array([0, 255])), [-1, 1])


def test_cop_gen_beta_patches():
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed (extra: train)")
    folder = data.ROOT / "cop_gen_beta/preprocess"
    if not (folder / "patches.json").is_file():
        pytest.skip(f"no {folder}/patches.json (set EO_CONFORMANCE)")
    told = data.read_json("cop_gen_beta", "preprocess/patches.json")
    optical = np.asarray(image.open(next(folder.glob("thumbnail_rgb_*.png"))))
    side = len(optical)
    grey = np.asarray(image.open(next(folder.glob("thumbnail_dem_*.png"))))
    hillshade = resized_levels(grey, side, side)[..., None].repeat(3, axis=2)
    size = next(iter(told["patches"].values()))["shape"][0]
    patches = {patch.index: patch for patch in centred_patches(side, side, size)}
    assert len(told["metadata_rows"]) == len(told["patches"])
    for row in told["metadata_rows"]:
        patch = patches[row["patch_num"]]
        assert (patch.row, patch.col) == (row["patch_row"], row["patch_col"])
        name = f"{row['satellite']}_thumbnail/{told['grid_cell']}_{patch.index}.png"
        picture = hillshade if row["satellite"] == "DEM" else optical
        cut = np.ascontiguousarray(picture[patch.box.slices])
        assert hashlib.sha256(cut.tobytes()).hexdigest() == told["patches"][name]["sha256_of_rgb_bytes"]
        if (folder / name).is_file():
            np.testing.assert_array_equal(cut, np.asarray(image.open(folder / name)))

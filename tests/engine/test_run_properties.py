"""What must hold for every run: a part is the crop of the whole, places are exact, nodata never leaks."""

from fractions import Fraction

import numpy as np
import pytest
import tiny_models
from affine import Affine
from hypothesis import example, given
from hypothesis import strategies as st
from property_profile import examples
from rasters import NORTH_UP, run, sar_values, write

CROP = {**tiny_models.CROP, "window_px": 64}
MODES = {"crop": CROP, "fixed": {**CROP, "fixed_window": True}, "lattice": tiny_models.LATTICE}
NOISE = {"without-noise": None, "noise": (1, 4)}
# Without a byte's rounding, so that the last bit counts.
FLOAT = {"dtype": "float32", "scale": 1.0, "nodata": None}
REACH = {"crop": 8, "fixed": 8, "lattice": 64}
STATISTICS = {"VV": (-12.0, 4.0), "VH": (-18.0, 4.0)}
KINDS = {
    "north-up": NORTH_UP,
    "between-pixels": Affine(10, 0, 500_003.7, 0, -10, 4_998_000.2),
    "south-up": Affine(10, 0, 500_003.7, 0, 10, 4_998_000.2),
    "oblong": Affine(10, 0, 12.5, 0, -12, -7.25),
    "negative": Affine(10, 0, -500_000, 0, -10, -5_000_000),
    "degrees": Affine(8.98e-5, 0, -4.5, 0, -8.98e-5, 39.1),
    "tiny": Affine(1e-6, 0, 3.5, 0, -1e-6, -7.25),
    "huge": Affine(1e6, 0, -3e7, 0, -1e6, 2e7),
    "far": Affine(0.001, 0, 1e9, 0, -0.001, -1e9),
}
TURNED = {
    "rotated": Affine.translation(500_000, 5_000_000) * Affine.rotation(33) * Affine.scale(10, -10),
    "sheared": Affine.translation(-70, 5_000_000) * Affine.shear(17, -9) * Affine.scale(10, -12),
    "transposed": Affine(0, 10, 500_000, 10, 0, 5_000_000),
}
SYSTEMS = {"degrees": "EPSG:4326", "tiny": None, "huge": None, "far": None}

modes, factors, noises = (
    st.sampled_from(sorted(MODES)),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(list(NOISE)),
)
sides = st.one_of(st.integers(1, 150), st.sampled_from([1, 2, 63, 64, 65, 97, 130]))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Gives the package of a mode, a scale factor and a kind of noise, made once."""
    folder, made = tmp_path_factory.mktemp("models"), {}

    def get(mode, factor=1, noise="noise", **output):
        key = (mode, factor, noise, *output)
        if key not in made:
            made[key] = tiny_models.package(
                folder,
                f"model-{len(made)}",
                tiling=MODES[mode],
                factor=factor,
                noise=NOISE[noise],
                norm=mode == "lattice",
                **output,
            )
        return made[key]

    return get


@st.composite
def parts_of(draw, height, width):
    """(row, column, height, width) of a part; often one that touches a border."""
    size = draw(st.integers(1, height)), draw(st.integers(1, width))
    row = draw(st.one_of(st.integers(0, height - size[0]), st.just(height - size[0])))
    col = draw(st.one_of(st.integers(0, width - size[1]), st.just(0)))
    return row, col, *size


def extent_of(transform, row, col, height, width):
    corners = [transform * (c, r) for c in (col, col + width) for r in (row, row + height)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def assert_lies_at(profile, transform, row, col, factor):
    """Corner and pixels of the output in rational numbers: a thousandth of a pixel over 2^16 of them."""
    a, b, c, d, e, f = (Fraction(value) for value in tuple(transform)[:6])
    got = [Fraction(value) for value in tuple(profile["transform"])[:6]]
    wanted = [a / factor, b / factor, a * col + b * row + c, d / factor, e / factor, d * col + e * row + f]
    pixel = max(abs(value) for value in (a, b, d, e))
    for value, exact in zip(got, wanted, strict=True):
        assert abs(value - exact) <= pixel / 1000 / factor
    for i in (0, 1, 3, 4):
        assert abs(got[i] - wanted[i]) * 2**16 <= pixel / 1000 / factor


def cut(picture, part, factor):
    row, col, height, width = (side * factor for side in part)
    return picture[:, row : row + height, col : col + width]


@examples(24)
@given(
    modes, factors, noises, sides, sides, st.sampled_from(sorted(KINDS)), st.integers(0, 2**63 - 1), st.data()
)
def test_part_is_the_crop_of_the_whole(tmp_path, model, mode, factor, noise, height, width, kind, seed, data):
    package, part = model(mode, factor, noise, **FLOAT), data.draw(parts_of(height, width))
    threads = data.draw(st.lists(st.sampled_from([None, 1, 2, 3]), min_size=2, max_size=2))
    transform = KINDS[kind]
    sar = write(
        tmp_path / "sar.tif",
        sar_values(height, width, seed=seed % 97),
        transform,
        SYSTEMS.get(kind, "EPSG:32633"),
        ["VV", "VH"],
    )
    whole, profile, _ = run(
        tmp_path / "whole.tif", package, inputs={"sar": sar}, seed=seed, threads=threads[0]
    )
    piece, piece_profile, _ = run(
        tmp_path / "part.tif",
        package,
        inputs={"sar": sar},
        seed=seed,
        threads=threads[1],
        extent=extent_of(transform, *part),
    )
    assert whole.shape == (3, height * factor, width * factor)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(piece, cut(whole, part, factor))
    assert_lies_at(profile, transform, 0, 0, factor)
    assert_lies_at(piece_profile, transform, *part[:2], factor)


@examples(3)
@given(modes, noises, st.integers(1, 200), st.integers(129, 270), st.booleans(), st.data())
def test_chunks_of_another_size_or_corner_change_no_pixel(
    tmp_path, model, mode, noise, height, width, upright, data
):
    """Four output pixels a side make chunks of 128 input pixels; a part has chunk borders of its own."""
    height, width = (width, height) if upright else (height, width)
    package, part = model(mode, 4, noise, **FLOAT), data.draw(parts_of(height, width))
    sar = write(tmp_path / "sar.tif", sar_values(height, width))
    pictures, chunks = {}, {}
    for name, changes in {
        "small": {"chunk_px": 128},
        "large": {"chunk_px": 512},
        "part": {"chunk_px": 128, "extent": extent_of(NORTH_UP, *part)},
    }.items():
        pictures[name], _, result = run(tmp_path / f"{name}.tif", package, inputs={"sar": sar}, **changes)
        chunks[name] = result.chunks
    assert chunks["large"] == 1 < chunks["small"]
    np.testing.assert_array_equal(pictures["small"], pictures["large"])
    np.testing.assert_array_equal(pictures["part"], cut(pictures["small"], part, 4))


@examples(6)
@given(modes, factors, st.sampled_from(sorted(TURNED)), st.data())
def test_part_of_a_turned_raster_holds_what_was_asked_for(tmp_path, model, mode, factor, kind, data):
    """The upright rectangle around a turned part is larger; what is there is the same."""
    height, width = 90, 120
    part, transform = data.draw(parts_of(height, width)), TURNED[kind]
    package = model(mode, factor, **FLOAT)
    sar = write(tmp_path / "sar.tif", sar_values(height, width), transform, names=["VV", "VH"])
    whole, profile, _ = run(tmp_path / "whole.tif", package, inputs={"sar": sar})
    piece, piece_profile, _ = run(
        tmp_path / "part.tif", package, inputs={"sar": sar}, extent=extent_of(transform, *part)
    )
    assert_lies_at(profile, transform, 0, 0, factor)
    col, row = ~transform * (piece_profile["transform"].c, piece_profile["transform"].f)
    corner = round(row), round(col)
    assert (row, col) == pytest.approx(corner, abs=1e-3)
    size = piece.shape[1] // factor, piece.shape[2] // factor
    assert all(corner[i] <= part[i] and corner[i] + size[i] >= part[i] + part[i + 2] for i in range(2))
    np.testing.assert_array_equal(piece, cut(whole, (*corner, *size), factor))


@examples(18)
@given(st.sampled_from(sorted(KINDS | TURNED)), factors, st.integers(1, 9), st.integers(1, 9))
@example("degrees", 3, 1, 1)
@example("far", 2, 1, 7)
def test_output_lies_exactly_on_the_input(tmp_path, model, kind, factor, height, width):
    transform, crs = (KINDS | TURNED)[kind], SYSTEMS.get(kind, "EPSG:32633")
    sar = write(tmp_path / "sar.tif", sar_values(height, width), transform, crs)
    picture, profile, result = run(tmp_path / "out.tif", model("crop", factor), inputs={"sar": sar})
    assert picture.shape == (3, height * factor, width * factor)
    assert profile["crs"] == crs
    assert_lies_at(profile, transform, 0, 0, factor)
    assert tuple(profile["transform"])[:6] == result.transform
    assert profile["transform"][2:6:3] == transform[2:6:3]
    if factor == 1:
        assert profile["transform"] == transform


@examples(12)
@given(modes, factors, noises, st.integers(0, 90), st.integers(0, 90), st.integers(0, 70), st.integers(0, 70))
def test_another_cut_of_the_scene_gives_the_same_pixels(
    tmp_path, model, mode, factor, noise, above, left, below, right
):
    """Lattice, cells of noise and pieces follow the world and never the file's corner."""
    package, reach = model(mode, factor, noise, **FLOAT), REACH[mode]
    inner = 2 * reach + 20
    values = sar_values(above + inner + below, left + inner + right)
    pictures = []
    for name, place, transform in (
        ("all", np.s_[:, :, :], NORTH_UP),
        (
            "cut",
            np.s_[:, above : above + inner, left : left + inner],
            NORTH_UP * Affine.translation(left, above),
        ),
    ):
        sar = write(tmp_path / f"{name}.tif", values[place], transform)
        given_statistics = {"sar": {"path": sar, "statistics": STATISTICS}}
        picture, _, _ = run(tmp_path / f"{name}-out.tif", package, inputs=given_statistics, seed=5)
        pictures.append(picture)
    whole, piece = pictures
    safe = (reach, reach, 20, 20)
    np.testing.assert_array_equal(
        cut(piece, safe, factor), cut(whole, (above + reach, left + reach, 20, 20), factor)
    )


FILLS = (np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, -9999.0, 0.0, -12.0)


@st.composite
def holes(draw, height, width):
    """Rectangles, speckles, or all but a pixel."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    hole = rng.random((height, width)) < draw(st.sampled_from([0.0, 0.05, 0.5, 0.98]))
    row, col, *size = draw(parts_of(height, width))
    hole[row : row + size[0], col : col + size[1]] = True
    hole[rng.integers(height), rng.integers(width)] = False
    return hole


@examples(20)
@given(modes, factors, noises, sides, sides, st.booleans(), st.booleans(), st.data())
def test_nodata_never_leaks(tmp_path, model, mode, factor, noise, height, width, told, as_bytes, data):
    """Whatever invalid pixels store, valid ones stay as they are, and the output's hole is the input's."""
    package = model(mode, factor, noise, **({} if as_bytes else FLOAT))
    hole = data.draw(holes(height, width))
    values = sar_values(height, width)
    pictures = []
    for name, fill in zip("ab", data.draw(st.tuples(*[st.sampled_from(FILLS)] * 2)), strict=True):
        # Decibel that equals the fill by chance would be a hole of its own.
        stored = np.where(hole, np.float32(fill), values)
        sar = write(tmp_path / f"{name}.tif", stored, nodata=None if told else fill)
        spec = {"path": sar, "units": "db", **({"nodata": fill} if told else {})}
        picture, profile, _ = run(tmp_path / f"{name}-out.tif", package, inputs={"sar": spec}, seed=3)
        empty = np.isnan(picture) if np.isnan(profile["nodata"]) else picture == profile["nodata"]
        fine = hole.repeat(factor, axis=0).repeat(factor, axis=1)
        np.testing.assert_array_equal(empty, np.broadcast_to(fine, picture.shape))
        pictures.append(picture)
    np.testing.assert_array_equal(*pictures)


@examples(8)
@given(modes, factors, sides, sides, st.data())
def test_nodata_of_an_optional_input_makes_no_hole(tmp_path, model, mode, factor, height, width, data):
    package, hole = model(mode, factor, **FLOAT), data.draw(holes(height, width))
    sar = write(tmp_path / "sar.tif", sar_values(height, width))
    pictures = []
    for name, fill in zip("ab", data.draw(st.permutations(FILLS[:-2]))[:2], strict=True):
        dem = np.where(hole, fill, np.linspace(300, 900, width)).astype(np.float32)[None]
        dem = write(tmp_path / f"{name}.tif", dem, nodata=fill)
        picture, _, _ = run(tmp_path / f"{name}-out.tif", package, inputs={"sar": sar, "dem": dem})
        assert np.isfinite(picture).all()
        pictures.append(picture)
    np.testing.assert_array_equal(*pictures)

"""The main path on real rasters and real (tiny) networks."""

import json
import tracemalloc

import numpy as np
import pytest
import rasterio
import tiny_models
from affine import Affine
from rasterio.enums import ColorInterp
from rasters import NORTH_UP, run, sar_values, write

from engine import job
from engine.errors import CancelledError, InputError, OutputError
from engine.models import store
from engine.spec import Job

MODES = {"crop": tiny_models.CROP, "fixed": tiny_models.FIXED, "lattice": tiny_models.LATTICE}


@pytest.fixture(scope="module", params=MODES)
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return tiny_models.package(folder, tiling=MODES[request.param], norm=request.param == "lattice")


@pytest.fixture(scope="module")
def local_model(tmp_path_factory):
    return tiny_models.package(tmp_path_factory.mktemp("models"))


def extent_of(transform, row, col, height, width):
    xs, ys = zip(transform * (col, row), transform * (col + width, row + height), strict=True)
    return min(xs), min(ys), max(xs), max(ys)


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("box", [(0, 0, 40, 30), (37, 51, 64, 70), (1, 99, 149, 71), (149, 169, 1, 1)])
def test_extent_gives_the_same_pixels_as_the_whole(tmp_path, factor, box, request):
    row, col, height, width = box
    for mode, tiling in MODES.items():
        model = tiny_models.package(tmp_path, mode, tiling=tiling, factor=factor, norm=mode == "lattice")
        sar = write(tmp_path / "sar.tif", sar_values(), names=["VV", "VH"])
        whole, profile, _ = run(tmp_path / "whole.tif", model, inputs={"sar": sar}, seed=7)
        part, part_profile, _ = run(
            tmp_path / "part.tif", model, inputs={"sar": sar}, seed=7, extent=extent_of(NORTH_UP, *box)
        )
        place = np.s_[:, row * factor : (row + height) * factor, col * factor : (col + width) * factor]
        np.testing.assert_array_equal(part, whole[place], err_msg=mode)
        assert whole.shape == (3, 150 * factor, 170 * factor)
        assert profile["transform"].almost_equals(NORTH_UP * Affine.scale(1 / factor))
        assert part_profile["transform"].almost_equals(
            NORTH_UP * Affine.translation(col, row) * Affine.scale(1 / factor), 1e-9
        )
        assert len(np.unique(whole)) > 50, "the picture must have something in it"


def test_chunk_size_changes_no_pixel(tmp_path, model):
    sar = write(tmp_path / "sar.tif", sar_values(520, 1030))
    small = {}
    for size in (512, 1024):
        small[size], _, result = run(tmp_path / f"{size}.tif", model, inputs={"sar": sar}, chunk_px=size)
        assert result.chunks == {512: 6, 1024: 2}[size]
    np.testing.assert_array_equal(small[512], small[1024])


def test_neighbouring_scenes_join(tmp_path, model):
    """Two files that overlap, run apart with the same statistics, agree away from their own borders."""
    values = sar_values(160, 260)
    shift = NORTH_UP * Affine.translation(100, 0)
    statistics = {"VV": (-12.0, 4.0), "VH": (-18.0, 4.0)}
    pictures = []
    for name, part, transform in (("a", values[:, :, :200], NORTH_UP), ("b", values[:, :, 100:], shift)):
        path = write(tmp_path / f"{name}.tif", part, transform)
        picture, _, _ = run(
            tmp_path / f"{name}-out.tif", model, inputs={"sar": {"path": path, "statistics": statistics}}
        )
        pictures.append(picture)
    margin = 66  # a window of the lattice reaches further than any halo
    a, b = pictures[0][:, :, 100 + margin : 200 - margin - 1], pictures[1][:, :, margin : 100 - margin - 1]
    reach = 8
    if "crop" in model or "fixed" in model:
        a, b = pictures[0][:, :, 100 + reach : 200 - reach], pictures[1][:, :, reach : 100 - reach]
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "transform",
    [
        NORTH_UP,
        Affine(10, 0, 500_003.7, 0, 10, 4_998_000.2),
        Affine.translation(500_000, 5_000_000) * Affine.rotation(33) * Affine.scale(10, -10),
        Affine(10, 0, 12.5, 0, -12, -7.25),
    ],
    ids=["north-up", "south-up", "rotated", "oblong-near-origin"],
)
def test_grid_of_the_input_is_kept_exactly(tmp_path, local_model, transform):
    sar = write(tmp_path / "sar.tif", sar_values(90, 70), transform)
    _, profile, result = run(tmp_path / "out.tif", local_model, inputs={"sar": sar})
    assert profile["transform"] == transform
    assert profile["crs"] == "EPSG:32633"
    assert (profile["height"], profile["width"]) == (90, 70)
    assert result.transform == tuple(transform)[:6]


@pytest.mark.parametrize("flip", [Affine(10, 0, 500_000, 0, 10, 4_998_500)])
def test_south_up_raster_is_translated_in_its_own_pixel_order(tmp_path, local_model, flip):
    sar = write(tmp_path / "sar.tif", sar_values(150, 170), flip)
    whole, _, _ = run(tmp_path / "whole.tif", local_model, inputs={"sar": sar})
    part, profile, _ = run(
        tmp_path / "part.tif", local_model, inputs={"sar": sar}, extent=extent_of(flip, 20, 30, 50, 60)
    )
    np.testing.assert_array_equal(part, whole[:, 20:70, 30:90])
    assert profile["transform"].almost_equals(flip * Affine.translation(30, 20))


def test_nodata_stays_and_never_leaks(tmp_path, model):
    values = sar_values(140, 150)
    hole = np.zeros((140, 150), bool)
    hole[40:80, 50:90] = True
    hole[100:, :13] = True
    pictures = []
    for name, fill, declared in (("a", 1e9, 1e9), ("b", -9999.0, -9999.0), ("c", np.nan, None)):
        filled = np.where(hole, np.float32(fill), values)
        path = write(tmp_path / f"{name}.tif", filled, nodata=declared)
        picture, profile, _ = run(tmp_path / f"{name}-out.tif", model, inputs={"sar": path})
        assert profile["nodata"] == 0
        np.testing.assert_array_equal(picture == 0, np.broadcast_to(hole, picture.shape))
        pictures.append(picture)
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(pictures[0], pictures[2])


def test_optional_inputs_do_not_decide_about_nodata(tmp_path, local_model):
    dem = np.full((1, 150, 170), 300, np.float32)
    dem[:, :50] = -32768
    sar = write(tmp_path / "sar.tif", sar_values())
    dem = write(tmp_path / "dem.tif", dem, nodata=-32768)
    picture, _, _ = run(tmp_path / "out.tif", local_model, inputs={"sar": sar, "dem": dem})
    assert (picture > 0).all()


def test_seed_and_only_the_seed_changes_the_draw(tmp_path, model):
    sar = write(tmp_path / "sar.tif", sar_values())
    first, _, _ = run(tmp_path / "1.tif", model, inputs={"sar": sar}, seed=1)
    again, _, _ = run(tmp_path / "2.tif", model, inputs={"sar": sar}, seed=1)
    other, _, _ = run(tmp_path / "3.tif", model, inputs={"sar": sar}, seed=2)
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.3


def test_same_job_gives_the_same_bytes(tmp_path, local_model):
    sar = write(tmp_path / "sar.tif", sar_values())
    contents = []
    for _ in range(2):
        run(tmp_path / "out.tif", local_model, inputs={"sar": sar})
        contents.append((tmp_path / "out.tif").read_bytes())
    assert contents[0] == contents[1]


def test_uncertainty_is_mean_and_deviation_of_the_samples(tmp_path, local_model):
    sar = write(tmp_path / "sar.tif", sar_values())
    spread = tmp_path / "spread.tif"
    first, _, _ = run(
        tmp_path / "out.tif", local_model, inputs={"sar": sar}, samples=5, uncertainty=str(spread), seed=3
    )
    alone, _, _ = run(tmp_path / "alone.tif", local_model, inputs={"sar": sar}, seed=3)
    np.testing.assert_array_equal(first, alone)
    with rasterio.open(spread) as dataset:
        bands = dataset.read()
        assert dataset.descriptions[:2] == ("B11 mean", "B11 standard deviation")
        assert dataset.dtypes == ("float32",) * 6
    mean, deviation = bands[::2], bands[1::2]
    assert (deviation > 0).mean() > 0.99
    # One of five samples lies within (n - 1) / sqrt(n) deviations of their mean.
    assert (np.abs(first / 255 - mean) <= deviation * 4 / np.sqrt(5) + 0.5 / 255 + 1e-6).mean() > 0.999


def test_file_describes_itself(tmp_path, local_model):
    sar = write(tmp_path / "sar.tif", sar_values(700, 600))
    run(tmp_path / "out.tif", local_model, inputs={"sar": sar}, seed=11)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.descriptions == ("B11", "B8", "B3")
        assert dataset.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert dataset.scales == pytest.approx((1 / 255,) * 3)
        assert dataset.units == ("reflectance",) * 3
        assert dataset.block_shapes[0] == (512, 512)
        assert dataset.overviews(1) == [2]
        assert dataset.tags()["SYNTHETIC"] == "yes"
        tags = dataset.tags(ns="EO_TRANSLATE")
    assert tags["SEED"] == "11"
    assert len(tags["MODEL_SHA256"]) == 64
    assert json.loads(tags["JOB"])["inputs"]["sar"]["path"] == sar
    assert set(json.loads(tags["STATISTICS"])["sar"]) == {"VV", "VH"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.tif", "sar.tif"]


def test_job_in_the_tags_gives_the_same_pixels(tmp_path, local_model):
    sar = write(tmp_path / "sar.tif", sar_values())
    picture, _, _ = run(tmp_path / "out.tif", local_model, inputs={"sar": sar}, seed=4)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        recorded = json.loads(dataset.tags(ns="EO_TRANSLATE")["JOB"])
    del recorded["output"]
    again, _, _ = run(tmp_path / "again.tif", recorded.pop("model"), **recorded)
    np.testing.assert_array_equal(picture, again)


def test_cog_is_valid_and_has_the_same_pixels(tmp_path, local_model):
    sar = write(tmp_path / "sar.tif", sar_values(700, 600))
    plain, _, _ = run(tmp_path / "plain.tif", local_model, inputs={"sar": sar})
    cog, _, _ = run(tmp_path / "cog.tif", local_model, inputs={"sar": sar}, format="cog")
    np.testing.assert_array_equal(plain, cog)
    with rasterio.open(tmp_path / "cog.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.descriptions == ("B11", "B8", "B3")
        assert dataset.tags(ns="EO_TRANSLATE")["SYNTHETIC"] == "yes"
        assert dataset.nodata == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cog.tif", "plain.tif", "sar.tif"]


def test_creation_options_are_used_and_checked(tmp_path, local_model):
    sar = write(tmp_path / "sar.tif", sar_values())
    _, profile, _ = run(
        tmp_path / "out.tif", local_model, inputs={"sar": sar}, creation_options={"COMPRESS": "LZW"}
    )
    assert profile["compress"] == "lzw"
    for options in ({"COMPRESSION": "LZW"}, {"COMPRESS": "NONSENSE"}):
        with pytest.raises(OutputError, match="creation option"):
            run(tmp_path / "bad.tif", local_model, inputs={"sar": sar}, creation_options=options)
        assert not list(tmp_path.glob("bad*"))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_other_output_types(tmp_path, dtype):
    scale = 1.0 if dtype == "float32" else 1e-4
    nodata = {"uint16": 65535, "int16": -32768, "float32": None}[dtype]
    model = tiny_models.package(tmp_path, dtype=dtype, scale=scale, nodata=nodata)
    reference = tiny_models.package(tmp_path, "reference")
    values = sar_values()
    values[:, :9] = np.nan
    sar = write(tmp_path / "sar.tif", values)
    picture, profile, _ = run(tmp_path / "out.tif", model, inputs={"sar": sar})
    expected, _, _ = run(tmp_path / "expected.tif", reference, inputs={"sar": sar})
    assert profile["dtype"] == dtype
    # uint8 keeps 0 for nodata, so its darkest value is 1.
    found = np.maximum(picture[:, 9:] * scale, 1 / 255)
    np.testing.assert_allclose(found, expected[:, 9:] / 255, atol=0.6 / 255 + scale)
    if nodata is None:
        assert np.isnan(picture[:, :9]).all()
        assert np.isnan(profile["nodata"])
    else:
        assert (picture[:, :9] == nodata).all()


def test_mask_goes_in_by_its_legend(tmp_path):
    model = tiny_models.package(tmp_path, inputs=(tiny_models.MASK_INPUT,))
    rng = np.random.default_rng(0)
    index = rng.integers(0, 4, (1, 120, 130)).astype(np.uint8)
    plain = write(tmp_path / "index.tif", index)
    own = write(tmp_path / "own.tif", np.array([7, 300, 11, 40], np.int16)[index])
    expected, _, _ = run(tmp_path / "a.tif", model, inputs={"mask": plain})
    legend = {7: "water", 300: "trees", 11: "grass_crops", 40: "built"}
    picture, _, _ = run(tmp_path / "b.tif", model, inputs={"mask": {"path": own, "legend": legend}})
    np.testing.assert_array_equal(picture, expected)
    del legend[40]
    with pytest.raises(InputError, match=r"40.*%"):
        run(tmp_path / "c.tif", model, inputs={"mask": {"path": own, "legend": legend}})
    assert not (tmp_path / "c.tif").exists()


def test_tiny_raster(tmp_path, model):
    sar = write(tmp_path / "sar.tif", sar_values(3, 2))
    picture, _, _ = run(tmp_path / "out.tif", model, inputs={"sar": sar})
    assert picture.shape == (3, 3, 2)
    assert (picture > 0).all()


@pytest.mark.parametrize("name", ["sar-to-optical", "mask-to-image"])
def test_bundled_models_do_not_see_the_window(tmp_path, name):
    """Crop mode is exact: other extents and other chunks, the same pixels bit by bit."""
    if not (store.BUNDLED_FOLDER / name / "item.json").is_file():
        pytest.skip(f"the bundled model {name} is not built yet")
    rng = np.random.default_rng(0)
    if name == "sar-to-optical":
        inputs = {"sar": write(tmp_path / "sar.tif", sar_values(300, 330))}
    else:
        classes = np.array([10, 20, 30, 40, 50, 60, 80], np.uint8)
        coarse = classes[rng.integers(0, 7, (1, 30, 33))]
        inputs = {"mask": write(tmp_path / "mask.tif", coarse.repeat(10, 1).repeat(10, 2))}
    whole, _, _ = run(tmp_path / "whole.tif", name, inputs=inputs)
    for box in ((0, 0, 31, 300), (107, 93, 150, 200), (299, 0, 1, 330)):
        row, col, height, width = box
        part, _, _ = run(tmp_path / "part.tif", name, inputs=inputs, extent=extent_of(NORTH_UP, *box))
        np.testing.assert_array_equal(part, whole[:, row : row + height, col : col + width])


def test_cancel_leaves_nothing(tmp_path, local_model):
    sar = write(tmp_path / "sar.tif", sar_values(300, 2100))
    fractions = []

    with pytest.raises(CancelledError):
        job.run(
            Job(model=local_model, inputs={"sar": {"path": sar}}, output=str(tmp_path / "out.tif")),
            on_progress=lambda fraction, text: fractions.append(fraction),
            is_cancelled=lambda: len(fractions) > 0,
        )
    assert [p.name for p in tmp_path.iterdir()] == ["sar.tif"]
    run(tmp_path / "out.tif", local_model, inputs={"sar": sar})  # the warm translator still works


@pytest.mark.parametrize("modality", ["sar", "mask"])
def test_cancel_is_noticed_while_inputs_are_opened(tmp_path, modality):
    """A scan for valid pixels or for unknown classes stops before it has found that the raster is bad."""
    entry = tiny_models.SAR_INPUT if modality == "sar" else tiny_models.MASK_INPUT
    model = tiny_models.package(tmp_path, "model", inputs=(entry,))
    shape = (1, 30_000, 8)
    values = np.full(shape, np.nan, np.float32) if modality == "sar" else np.full(shape, 99, np.uint8)
    path = write(tmp_path / "in.tif", values)
    asked, started = [], []

    def is_cancelled():
        asked.append(True)
        return len(asked) > 3

    with pytest.raises(CancelledError):
        job.run(
            Job(model=model, inputs={modality: {"path": path}}, output=str(tmp_path / "out.tif")),
            on_progress=lambda *_: started.append(True),
            is_cancelled=is_cancelled,
        )
    assert not started
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.tif", "model"]


@pytest.mark.parametrize("before", [None, b"an older result"])
def test_image_and_uncertainty_appear_together_or_not_at_all(tmp_path, local_model, before):
    sar = write(tmp_path / "sar.tif", sar_values())
    out, spread = tmp_path / "out.tif", tmp_path / "spread.tif"
    if before is not None:
        out.write_bytes(before)

    def in_the_way(fraction, text):
        # Something takes the second name while the run is under way.
        spread.mkdir(exist_ok=True)

    document = Job(
        model=local_model, inputs={"sar": {"path": sar}}, output=str(out), samples=2, uncertainty=str(spread)
    )
    with pytest.raises(OutputError, match=r"spread\.tif"):
        job.run(document, on_progress=in_the_way)
    assert (out.read_bytes() if out.exists() else None) == before
    spread.rmdir()
    job.run(document)
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"out.tif", "spread.tif", "sar.tif"}


def test_memory_does_not_grow_with_the_raster(tmp_path, local_model):
    """A sparse raster of 100 000 rows: peak memory of the Python side stays that of a few chunks."""
    with rasterio.open(
        tmp_path / "tall.tif",
        "w",
        driver="GTiff",
        width=48,
        height=100_000,
        count=1,
        dtype="float32",
        nodata=0,
        crs="EPSG:32633",
        transform=NORTH_UP,
        tiled=True,
        sparse_ok=True,
    ) as dataset:
        block = sar_values(1024, 48, bands=1)
        for row in (0, 49_000, 98_000):
            dataset.write(block, window=rasterio.windows.Window(0, row, 48, 1024))
    tracemalloc.start()
    inputs = {"sar": {"path": str(tmp_path / "tall.tif")}}
    result = job.run(Job(model=local_model, inputs=inputs, output=str(tmp_path / "out.tif")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.height == 100_000
    assert peak < 64 << 20

"""Any-to-any jobs: pixels depend on the job alone, not on chunks, extent, order, restarts or machines."""

import numpy as np
import pytest
import rasterio
from affine import Affine

pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")
pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")

from joint_packages import beta_package, cop_gen_files, pixel_package
from rasters import NORTH_UP, UTM, run, sar_values, write

from engine import cluster
from engine import job as engine_job
from engine.errors import CancelledError, InputError, OutputError
from engine.models.joint_import import import_joint
from engine.spec import Job
from engine.translators.joint_diffusion import JointTranslator

SIDE = 530
FAST = {"steps": 4, "seed": 7, "threads": 1}


@pytest.fixture(scope="module")
def beta(tmp_path_factory):
    """A tiny package (windows of 64 px) and rasters of 530 x 530 px."""
    place = tmp_path_factory.mktemp("beta")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EO_TRANSLATE_MODELS", str(place / "models"))
        patch.setenv("XDG_DATA_HOME", str(place / "home"))
        yield str(beta_package(place / "files").folder), rasters(place)


def rasters(place):
    rows, cols = np.mgrid[:SIDE, :SIDE]
    heights = (300 + 80 * np.sin(rows / 31) * np.cos(cols / 47)).astype(np.float32)
    return {
        "s1_rtc": {"path": write(place / "s1.tif", sar_values(SIDE, SIDE), names=["VV", "VH"])},
        "dem": {"path": write(place / "dem.tif", heights[None])},
    }


@pytest.fixture(scope="module")
def whole(beta, tmp_path_factory):
    model, given = beta
    place = tmp_path_factory.mktemp("whole") / "out.tif"
    return run(place, model, inputs=given, generate=["s2_l2a"], **FAST)[0]


def extent(row, col, height, width):
    left, top = NORTH_UP * (col, row)
    right, bottom = NORTH_UP * (col + width, row + height)
    return [left, bottom, right, top]


def test_the_result_is_an_image_of_the_given_scene(whole):
    assert whole.shape == (3, SIDE, SIDE)
    assert whole.dtype == np.uint8
    assert len(np.unique(whole)) > 100


def test_chunks_change_no_pixel(beta, whole, tmp_path):
    model, given = beta
    small, _, result = run(tmp_path / "a.tif", model, inputs=given, generate=["s2_l2a"], chunk_px=512, **FAST)
    assert result.chunks == 4
    np.testing.assert_array_equal(small, whole)


def test_a_part_equals_the_whole(beta, whole, tmp_path):
    model, given = beta
    part, *_ = run(
        tmp_path / "a.tif", model, inputs=given, generate=["s2_l2a"], extent=extent(101, 37, 140, 90), **FAST
    )
    np.testing.assert_array_equal(part, whole[:, 101:241, 37:127])


def test_chunks_made_alone_in_any_order_are_the_same(beta, whole, tmp_path):
    """What a worker of a cluster does: a chunk with nothing remembered from others."""
    model, given = beta
    document = Job.model_validate(
        {
            "model": model,
            "model_sha256": engine_job.store.find(model).sha256,
            "inputs": given,
            "generate": ["s2_l2a"],
            "output": str(tmp_path / "out.vrt"),
            "format": "vrt",
            "chunk_px": 512,
            **FAST,
        }
    ).model_dump_json()
    (tmp_path / "out_parts").mkdir()
    for index in (3, 0):
        cluster._opened.cache_clear()
        cluster.chunk_on_worker(document, index)
    pieces = sorted((tmp_path / "out_parts").glob("*.tif"))
    assert len(pieces) == 2
    for piece in pieces:
        with rasterio.open(piece) as dataset:
            col, row = (round(v) for v in ~NORTH_UP * (dataset.transform.c, dataset.transform.f))
            found = dataset.read()
        _, height, width = found.shape
        np.testing.assert_array_equal(found, whole[:, row : row + height, col : col + width])


def test_the_first_of_several_draws_is_the_only_one_of_one(beta, whole, tmp_path):
    model, given = beta
    box = {"extent": extent(0, 0, 120, 120)}
    first, _, result = run(
        tmp_path / "a.tif",
        model,
        inputs=given,
        generate=["s2_l2a"],
        samples=3,
        all_samples=True,
        uncertainty=str(tmp_path / "u.tif"),
        **box,
        **FAST,
    )
    np.testing.assert_array_equal(first, whole[:, :120, :120])
    assert [file.path.name for file in result.files] == ["a.tif", "a_v2.tif", "a_v3.tif", "u.tif"]
    draws = [first]
    for name in ("a_v2.tif", "a_v3.tif"):
        with rasterio.open(tmp_path / name) as dataset:
            draws.append(dataset.read())
            assert dataset.tags(ns="EO_TRANSLATE")["SAMPLE"] == name[3]
    assert not np.array_equal(draws[1], draws[2])
    with rasterio.open(tmp_path / "u.tif") as dataset:
        mean, deviation = dataset.read(1), dataset.read(2)
    inner = (draws[0][0] > 1) & (draws[1][0] > 1) & (draws[2][0] > 1)  # 0 is nodata, so stored as 1
    np.testing.assert_allclose(mean[inner], np.mean([d[0] for d in draws], axis=0)[inner], atol=0.01)
    np.testing.assert_allclose(
        deviation[inner], np.std([d[0] for d in draws], axis=0, ddof=1)[inner], atol=0.01
    )


def test_other_seeds_and_conditions_give_other_images(beta, whole, tmp_path):
    model, given = beta
    box = {"extent": extent(0, 0, 100, 100)}
    common = {"generate": ["s2_l2a"], **box}
    other, *_ = run(tmp_path / "a.tif", model, inputs=given, **common, **{**FAST, "seed": 8})
    only_dem, *_ = run(tmp_path / "b.tif", model, inputs={"dem": given["dem"]}, **common, **FAST)
    guided, *_ = run(tmp_path / "c.tif", model, inputs=given, guidance=2.0, **common, **FAST)
    for changed in (other, only_dem, guided):
        assert not np.array_equal(changed, whole[:, :100, :100])


@pytest.mark.parametrize("guided", [True, False], ids=["given", "from nothing"])
def test_a_distant_view_is_the_same_from_every_part(beta, tmp_path, guided):
    model, given = beta
    common = {"generate": ["dem"], "context": 8, **FAST}
    common |= {"inputs": {"s1_rtc": given["s1_rtc"]}} if guided else {"inputs": {}, "crs": UTM}
    large, *_ = run(tmp_path / "a.tif", model, extent=extent(300, 300, 150, 130), **common)
    small, *_ = run(tmp_path / "b.tif", model, extent=extent(350, 340, 60, 70), **common)
    np.testing.assert_array_equal(small, large[:, 50:110, 40:110])
    near, *_ = run(tmp_path / "c.tif", model, extent=extent(350, 340, 60, 70), **{**common, "context": None})
    assert not np.array_equal(near, small)


def test_a_lone_scene_takes_no_more_windows_than_it_needs(beta, tmp_path, monkeypatch):
    model, given = beta
    rows = []
    run_rows = JointTranslator.run

    def counted(self, stage, part, *others):
        rows.append((stage.index, len(part)))
        return run_rows(self, stage, part, *others)

    monkeypatch.setattr(JointTranslator, "run", counted)
    common = {"inputs": given, "generate": ["s2_l2a"], "anchor": "scene", **FAST}
    one, *_ = run(tmp_path / "a.tif", model, extent=extent(101, 37, 64, 64), **common)
    assert rows == [(0, 1), (1, 1)]
    assert (one > 0).all()
    rows.clear()
    wide, *_ = run(tmp_path / "b.tif", model, extent=extent(101, 37, 100, 120), **common)
    assert rows == [(0, 6), (1, 6)]  # 0 and 48 down; 0, 48 and 96 across
    assert (wide > 0).all()


def test_several_modalities_come_from_one_draw(beta, tmp_path):
    model, given = beta
    places = {name: str(tmp_path / f"{name}.tif") for name in ("dem", "s2_l1c", "s2_l2a")}
    job = {"model": model, "inputs": {"s1_rtc": given["s1_rtc"]}, "extent": extent(0, 0, 100, 100), **FAST}
    result = engine_job.run(Job.model_validate({**job, "output": places}))
    assert [file.modality for file in result.files] == ["dem", "s2_l1c", "s2_l2a"]
    bands = []
    for file in result.files:
        with rasterio.open(file.path) as dataset:
            bands.append(dataset.count)
            assert dataset.tags(ns="EO_TRANSLATE")["MODALITY"] == file.modality
    assert bands == [1, 3, 3]


def test_images_from_nothing_need_a_place_and_are_the_same_in_any_part_of_it(beta, tmp_path):
    model, _ = beta
    common = {"inputs": {}, "generate": ["s2_l2a"], "crs": UTM, **FAST}
    large, profile, _ = run(tmp_path / "a.tif", model, extent=extent(0, 0, 150, 130), **common)
    assert (profile["transform"], profile["crs"].to_string()) == (NORTH_UP, UTM)
    small, *_ = run(tmp_path / "b.tif", model, extent=extent(50, 40, 60, 70), **common)
    np.testing.assert_array_equal(small, large[:, 50:110, 40:110])
    with pytest.raises(InputError, match="extent and its CRS"):
        run(tmp_path / "c.tif", model, **{**common, "crs": None})


def test_nodata_stays_nodata_and_changes_no_far_pixel(beta, whole, tmp_path):
    model, given = beta
    with rasterio.open(given["s1_rtc"]["path"]) as dataset:
        values = dataset.read()
    values[:, :, 300:] = -9999
    holed = write(tmp_path / "s1.tif", values, names=["VV", "VH"], nodata=-9999)
    # The stretch is that of the scene, so it is given.
    statistics = recorded(beta, tmp_path)
    inputs = {"s1_rtc": {"path": holed, "statistics": statistics}, "dem": given["dem"]}
    found, *_ = run(tmp_path / "a.tif", model, inputs=inputs, generate=["s2_l2a"], **FAST)
    assert (found[:, :, 300:] == 0).all()
    assert (found[:, :, :300] > 0).all()
    reach = 64 * 3  # a window, and its neighbours two stages earlier
    np.testing.assert_array_equal(found[:, :, : 300 - reach], whole[:, :, : 300 - reach])


def recorded(beta, tmp_path):
    model, given = beta
    box = extent(0, 0, 64, 64)
    *_, result = run(tmp_path / "s.tif", model, inputs=given, generate=["s2_l2a"], extent=box, **FAST)
    return result.statistics["s1_rtc"]


def test_a_cancelled_run_goes_on_where_it_stopped(beta, whole, tmp_path):
    model, given = beta
    output = tmp_path / "a.tif"
    job = {"model": model, "inputs": given, "generate": ["s2_l2a"], "output": str(output), "chunk_px": 512}
    first = Job.model_validate({**job, **FAST, "resume": "continue"})
    cancel_in_part_2(first)
    engine_job.run(first)
    with rasterio.open(output) as dataset:
        np.testing.assert_array_equal(dataset.read(), whole)
    cancel_in_part_2(first)
    with pytest.raises(OutputError, match="steps was 4 and is 5"):
        engine_job.run(first.model_copy(update={"steps": 5}))


def cancel_in_part_2(job):
    seen = []
    with pytest.raises(CancelledError, match="of 4 parts are finished"):
        engine_job.run(
            job,
            on_progress=lambda share, text: seen.append(text),
            is_cancelled=lambda: "Part 2 of 4" in seen,
        )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"generate": ["lulc"]}, "does not make lulc; it makes dem, s1_rtc, s2_l1c, s2_l2a"),
        ({"generate": ["dem"]}, "dem cannot be given and generated at once"),
        ({"generate": []}, "Nothing was asked for"),
        ({"generate": ["s2_l1c", "s2_l2a"]}, "one output file was given"),
        ({"inputs": {"sar": {"path": "x.tif"}}}, "does not take sar"),
        ({"date": "2021-06-30"}, "does not take date"),
        ({"steps": 2, "stages": 3}, "3 stages were asked for and 2 steps"),
        ({"stages": 1, "context": 8}, "at least 2 stages"),
        ({"context": 7}, "must divide"),
        ({"solver": "consistency"}, "not distilled"),
        ({"solver": "multistep", "stages": 2}, "runs in one stage"),
        ({"prompt": "a field"}, "takes no prompt"),
        ({"precision": "float16"}, "float16"),
        ({"extent": [0, 0, 10, 10]}, "does not meet"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_wrong_jobs_are_refused_in_a_sentence(beta, tmp_path, change, sentence):
    model, given = beta
    job = {"model": model, "inputs": given, "generate": ["s2_l2a"], "output": str(tmp_path / "a.tif"), **FAST}
    with pytest.raises(InputError, match=sentence):
        engine_job.run(Job.model_validate({**job, **change}))
    assert list(tmp_path.iterdir()) == []


def test_fields_of_diffusion_are_refused_by_other_models(tmp_path):
    job = {"model": "sar-to-optical", "inputs": {"sar": {"path": "x.tif"}}, "output": str(tmp_path / "a.tif")}
    for field in ({"stages": 2}, {"date": "2021-06-30"}, {"position": "scene"}, {"generate": ["dem"]}):
        with pytest.raises(
            InputError, match=next(iter(field)) if "generate" not in field else "does not make"
        ):
            engine_job.run(Job.model_validate({**job, **field}))


@pytest.fixture(scope="module")
def cop_gen(tmp_path_factory):
    place = tmp_path_factory.mktemp("cop-gen")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EO_TRANSLATE_MODELS", str(place / "models"))
        patch.setenv("XDG_DATA_HOME", str(place / "home"))
        yield str(import_joint("cop-gen", *cop_gen_files(place / "files"), "cg", heads=4).folder)


def test_physical_rasters_of_every_kind_from_a_dem_and_a_date(cop_gen, tmp_path):
    rows, cols = np.mgrid[:16, :16]
    heights = (200 + rows + cols).astype(np.float32)
    inside_one_window = Affine(30, 0, 500_160, 0, -30, 4_999_200)
    dem = write(tmp_path / "dem.tif", heights[None], inside_one_window)
    names = ("s1_rtc", "s2_l2a", "lulc", "position")
    places = {name: str(tmp_path / f"{name}.tif") for name in names}
    spread = {name: str(tmp_path / f"{name}_u.tif") for name in names}
    said = []
    result = engine_job.run(
        Job.model_validate(
            {
                "model": cop_gen,
                "inputs": {"dem": {"path": dem}},
                "date": "2021-06-30",
                "output": places,
                "uncertainty": spread,
                "samples": 2,
                "steps": 2,
                "threads": 1,
            }
        ),
        log=lambda level, text: said.append(text),
    )
    assert (result.width, result.height) == (48, 48)  # 10 m from 30 m
    assert any("works at 10 m" in text for text in said)
    found = {}
    for file in result.files:
        with rasterio.open(file.path) as dataset:
            found[file.modality, file.kind] = dataset.read(), dataset.profile, dataset.descriptions
            palette = dataset.colormap(1) if (file.modality, file.kind) == ("lulc", "sample") else None
            if palette:
                assert palette[1] == (26, 91, 171, 255)
    optical, profile, bands = found["s2_l2a", "sample"]
    assert profile["dtype"] == "uint16"
    assert bands == ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
    coarse = optical[0].reshape(8, 6, 8, 6)  # B01: 60 m, repeated
    assert (coarse == coarse[:, :1, :, :1]).all()
    radar, profile, _ = found["s1_rtc", "sample"]
    assert profile["dtype"] == "float32"
    assert -55.8 < radar.min() <= radar.max() < 40.3
    classes, share = found["lulc", "spread"][0]
    assert set(np.unique(share)) <= {0.5, 1.0}
    assert set(np.unique(classes)) <= {0, 1, 2, 4, 5, 7, 8, 9, 10, 11}
    latitude, longitude = found["position", "sample"][0]
    assert -90 <= latitude.min() <= latitude.max() <= 90
    assert -180 <= longitude.min() <= longitude.max() <= 180


def test_without_autoencoders_the_pixels_are_the_latents(tmp_path):
    """Radar in two bands without names: the second one is VH, which this model does not read."""
    model = str(pixel_package(tmp_path / "pixels").folder)
    sar = write(tmp_path / "s1.tif", sar_values(120, 150))
    given = {"inputs": {"s1_rtc": sar}, "generate": ["s2_l2a"], **FAST}
    whole, *_ = run(tmp_path / "a.tif", model, **given)
    part, *_ = run(tmp_path / "b.tif", model, extent=extent(31, 17, 60, 50), **given)
    np.testing.assert_array_equal(part, whole[:, 31:91, 17:67])
    assert (whole > 0).all()

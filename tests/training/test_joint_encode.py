"""Rasters and cells of Major TOM become stores of latents; geolocation is kept and nothing is mirrored."""

import csv
import datetime
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from joint_autoencoders import write_autoencoder
from rasterio.transform import Affine, from_origin

pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")

from engine.errors import InputError
from engine.modalities.vectors import date_vector, position_vector
from engine.models.tensor_files import read_tensors
from engine.networks.kl_autoencoder import LatentCodec, autoencoder_from_tensors
from training.datasets.latent_store import open_store
from training.datasets.major_tom import Cells
from training.datasets.major_tom_products import day_in
from training.datasets.scenes import patches
from training.encode import run
from training.groups import groups_of

CELL_PX = 48


def image_group(name, modality, bands, pixel, side, **encoding):
    latent = {"channels": 4, "height": side, "width": side, "autoencoder": name}
    named = [{"name": band} for band in bands]
    return {
        "name": name,
        "modality": modality,
        "latent": latent,
        "encoding": encoding,
        "bands": named,
        "pixel": pixel,
    }


def vector_group(name, kind):
    latent = {"channels": 1, "height": 1, "width": 3, "patch": 1}
    return {"name": name, "modality": kind, "latent": latent, "encoding": {"kind": kind}}


GROUPS = [
    vector_group("where", "position"),
    image_group("heights", "dem", ["DEM"], 2, 4, kind="height", log=[0.0, 9.0], floor=1e-6),
    image_group("radar", "s1_rtc", ["VV", "VH"], 1, 8, kind="backscatter", db=[-50.0, 40.0], floor=1e-6),
    image_group("optical", "s2_l2a", ["B04", "B03"], 1, 8, kind="reflectance"),
    vector_group("when", "date"),
]
CHANNELS = {"heights": 1, "radar": 2, "optical": 2}


def tif(values, gsd, nodata=None, names=(), x=500000.0, y=5000000.0):
    profile = {"driver": "GTiff", "count": len(values), "height": values.shape[1], "width": values.shape[2]}
    profile |= {"dtype": values.dtype, "crs": "EPSG:32633", "transform": from_origin(x, y, gsd, gsd)}
    with rasterio.MemoryFile() as file:
        with file.open(**profile, nodata=nodata) as target:
            target.write(values)
            for number, name in enumerate(names, 1):
                target.set_band_description(number, name)
        return file.read()


def pictures(seed):
    rng = np.random.default_rng(seed)
    return {
        "dem": rng.uniform(1, 900, (1, CELL_PX // 2, CELL_PX // 2)).astype(np.float32),
        "s1": rng.gamma(2, 0.05, (2, CELL_PX, CELL_PX)).astype(np.float32),
        "s2": rng.integers(1, 4000, (2, CELL_PX, CELL_PX)).astype(np.uint16),
    }


@pytest.fixture(scope="module")
def autoencoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("autoencoders")
    paths = {name: write_autoencoder(folder / f"{name}.pth", count) for name, count in CHANNELS.items()}
    return [f"{name}={path}" for name, path in paths.items()]


@pytest.fixture
def groups(tmp_path):
    (tmp_path / "groups.json").write_text(json.dumps(GROUPS))
    return str(tmp_path / "groups.json")


@pytest.fixture
def tree(tmp_path):
    """Two cells; the second has no radar."""
    root = tmp_path / "major-tom"
    for seed, cell in enumerate(("0U_199R", "1U_7L")):
        made, row = pictures(seed), cell.split("_")[0]
        files = {
            f"Core-DEM/{row}/{cell}/id/DEM.tif": tif(made["dem"], 20.0),
            f"Core-S2L2A/{row}/{cell}/S2B_MSIL2A_20200519T110619_N/B04.tif": tif(made["s2"][:1], 10.0),
            f"Core-S2L2A/{row}/{cell}/S2B_MSIL2A_20200519T110619_N/B03.tif": tif(made["s2"][1:], 10.0),
        }
        if seed == 0:
            product = f"Core-S1RTC/{row}/{cell}/S1A_IW_GRDH_1SDV_20200515T155959_rtc"
            files[f"{product}/vv.tif"] = tif(made["s1"][:1], 10.0, nodata=-32768)
            files[f"{product}/vh.tif"] = tif(made["s1"][1:], 10.0, nodata=-32768)
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
    return root


def moments(autoencoders, name, image):
    path = dict(word.split("=") for word in autoencoders)[name]
    coder = LatentCodec(autoencoder_from_tensors(read_tensors(Path(path)), name), 1.0)
    return coder.moments(torch.from_numpy(np.ascontiguousarray(image, np.float32))[None])[0].numpy()


def test_cells_of_major_tom(tree, groups, autoencoders, tmp_path):
    new = run(tree, tmp_path / "store", groups, autoencoders, folder=False)
    store = open_store(tmp_path / "store")
    assert new == len(store.keys) == 2 * 9
    made = pictures(0)
    found = store.read("0U_199R_5")  # row 1, col 2: pixels from (16, 32)
    optical = 2 * made["s2"][:, 16:32, 32:48].astype(np.float32) / 10000 - 1
    np.testing.assert_allclose(found["optical"], moments(autoencoders, "optical", optical), atol=1e-5)
    decibel = 10 * np.log10(made["s1"][:, 16:32, 32:48])
    np.testing.assert_allclose(
        found["radar"], moments(autoencoders, "radar", 2 * (decibel + 50) / 90 - 1), atol=1e-4
    )
    heights = 2 * np.log1p(made["dem"][:, 8:16, 16:24]) / 9 - 1
    np.testing.assert_allclose(found["heights"], moments(autoencoders, "heights", heights), atol=1e-4)
    assert found["optical"].shape == (8, 8, 8)
    assert "radar" not in store.read("1U_7L_5")
    np.testing.assert_array_equal(found["when"].ravel(), date_vector(datetime.date(2020, 5, 17)))


def test_a_patch_knows_where_it_is(tree, groups, autoencoders, tmp_path):
    run(tree, tmp_path / "store", groups, autoencoders, folder=True)
    store = open_store(tmp_path / "store")
    told = store.metadata("0U_199R_5")
    assert told["crs"] == "EPSG:32633"
    assert Affine(*map(float, told["transform"].split())) == from_origin(500320, 4999840, 10, 10)
    assert (told["row"], told["col"], told["date"]) == ("1", "2", "2020-05-17")
    (lon,), (lat,) = rasterio.warp.transform("EPSG:32633", "EPSG:4326", [500400], [4999760])
    np.testing.assert_allclose(store.read("0U_199R_5")["where"].ravel(), position_vector(lat, lon), atol=1e-7)


def test_encoding_goes_on_where_it_stopped(tree, groups, autoencoders, tmp_path):
    run(tree, tmp_path / "store", groups, autoencoders, folder=True)
    samples = sorted((tmp_path / "store" / "samples").iterdir())
    first = [path.read_bytes() for path in samples]
    for path in samples[5:]:
        path.unlink()
    assert run(tree, tmp_path / "store", groups, autoencoders, folder=True, batch_size=3) == len(samples) - 5
    for path, content in zip(samples, first, strict=True):
        # Batches of other sizes round differently.
        assert len(path.read_bytes()) == len(content)
    assert run(tree, tmp_path / "store", groups, autoencoders, folder=True) == 0


def test_other_autoencoders_do_not_mix(tree, groups, autoencoders, tmp_path):
    run(tree, tmp_path / "store", groups, autoencoders, folder=True)
    other = write_autoencoder(tmp_path / "other.pth", 1, seed=9)
    with pytest.raises(InputError, match="other autoencoders"):
        run(tree, tmp_path / "store", groups, [*autoencoders, f"heights={other}"], folder=True)


def test_parquet_files_hold_the_same_cells(tree, groups, autoencoders, tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    root = tmp_path / "parquet"
    for source in ("Core-DEM", "Core-S1RTC", "Core-S2L2A"):
        rows = []
        for product in sorted((tree / source).glob("*/*/*")):
            bands = {file.stem: file.read_bytes() for file in product.iterdir()}
            rows.append({"grid_cell": product.parent.name, "product_id": product.name, **bands})
        (root / source).mkdir(parents=True)
        parquet.write_table(
            pa.Table.from_pylist(rows), root / source / "part_00001.parquet", row_group_size=1
        )
        parquet.write_table(pa.table({"grid_cell": ["x"]}), root / source / "metadata.parquet")
    run(tree, tmp_path / "first", groups, autoencoders, folder=True)
    run(root, tmp_path / "second", groups, autoencoders, folder=True)
    first, second = open_store(tmp_path / "first"), open_store(tmp_path / "second")
    assert first.keys == second.keys
    for key in first.keys:
        one, two = first.read(key), second.read(key)
        assert one.keys() == two.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])
        assert first.metadata(key) == second.metadata(key)


def test_thumbnails_are_cut_as_published(tmp_path):
    from PIL import Image

    levels = np.random.default_rng(0).integers(0, 256, (1068, 1068, 3), dtype=np.uint8)
    heights = levels[:356, :356, 0]
    for source, picture in (("Core-S2L2A/1U/1U_2R/S2A_20200101", levels), ("Core-DEM/1U/1U_2R/id", heights)):
        (tmp_path / source).mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / source / "thumbnail.png")
    groups = groups_of("cop-gen-beta")
    (scene,) = Cells(tmp_path, groups)
    found = list(patches(scene, groups, 256, "centred"))
    assert [patch.key for patch in found] == [f"1U_2R_{i}" for i in range(16)]
    seventh = found[6].images  # row 1, col 2 of the central 1024
    assert seventh.keys() == {"dem", "s2_l2a"}
    expected = np.moveaxis(levels[278:534, 534:790], 2, 0) / np.float32(127.5) - 1
    np.testing.assert_array_equal(seventh["s2_l2a"], expected)
    enlarged = np.asarray(Image.fromarray(heights).resize((1068, 1068), Image.Resampling.BILINEAR))
    grey = enlarged[278:534, 534:790] / np.float32(127.5) - 1
    np.testing.assert_array_equal(seventh["dem"], np.stack([grey] * 3))


@pytest.fixture
def table(tmp_path):
    """Two places: radar in dB on the grid of the optical image, heights on a grid of their own."""
    rows = []
    for seed, place in enumerate(("berlin", "oslo")):
        made = pictures(seed)
        hole = made["s2"].copy()
        hole[:, :16, :16] = 0
        (tmp_path / f"{place}_s2.tif").write_bytes(tif(hole, 10.0, nodata=0, names=("B03", "B04")))
        decibel = (10 * np.log10(made["s1"])).astype(np.float32)
        (tmp_path / f"{place}_s1.tif").write_bytes(tif(decibel, 10.0))
        wide = np.pad(made["dem"], ((0, 0), (4, 4), (4, 4)), mode="edge")
        (tmp_path / f"{place}_dem.tif").write_bytes(tif(wide, 20.0, x=499920.0, y=5000080.0))
        rows.append(
            {
                "location": place,
                "date": "2024-07-01",
                "s2_l2a": f"{place}_s2.tif",
                "s1_rtc": f"{place}_s1.tif" if seed == 0 else "",
                "dem": f"{place}_dem.tif",
            }
        )
    with open(tmp_path / "table.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "table.csv"


def test_any_rasters(table, groups, autoencoders, tmp_path):
    run(table, tmp_path / "store", groups, autoencoders, folder=False)
    store = open_store(tmp_path / "store")
    assert len(store.keys) == 18
    made, found = pictures(0), store.read("berlin_5")
    swapped = made["s2"][::-1, 16:32, 32:48]  # bands are found by their names
    optical = 2 * swapped.astype(np.float32) / 10000 - 1
    np.testing.assert_allclose(found["optical"], moments(autoencoders, "optical", optical), atol=1e-5)
    heights = 2 * np.log1p(made["dem"][:, 8:16, 16:24]) / 9 - 1
    np.testing.assert_allclose(found["heights"], moments(autoencoders, "heights", heights), atol=1e-4)
    assert found.keys() == {"where", "when", "heights", "radar", "optical"}
    assert "optical" not in store.read("berlin_0")  # nodata
    assert "radar" not in store.read("oslo_5")


def test_bands_without_names_are_named_in_the_table(table, groups, autoencoders, tmp_path):
    for place in ("berlin", "oslo"):
        with rasterio.open(tmp_path / f"{place}_s2.tif") as file:
            three = np.concatenate([file.read(), file.read([1])])
        (tmp_path / f"{place}_s2.tif").write_bytes(tif(three, 10.0, nodata=0))
    with pytest.raises(InputError, match="has 3 bands"):
        run(table, tmp_path / "store", groups, autoencoders, folder=True)
    rows = list(csv.DictReader(table.open()))
    with open(table, "w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "s2_l2a_bands"])
        writer.writeheader()
        writer.writerows({**row, "s2_l2a_bands": "B03 B4 B11"} for row in rows)
    run(table, tmp_path / "store", groups, autoencoders, folder=True)
    optical = 2 * pictures(0)["s2"][::-1, 16:32, 32:48].astype(np.float32) / 10000 - 1
    found = open_store(tmp_path / "store").read("berlin_5")["optical"]
    np.testing.assert_allclose(found, moments(autoencoders, "optical", optical), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"location": "place"}, "needs a column location"),
        ({"2024-07-01": "yesterday"}, "write it as 2024-07-01"),
        ({"oslo_s2.tif": "none.tif"}, "cannot be read"),
    ],
)
def test_a_bad_table_is_one_sentence(table, groups, autoencoders, tmp_path, change, words):
    text = table.read_text()
    for old, new in change.items():
        text = text.replace(old, new)
    table.write_text(text)
    with pytest.raises(InputError, match=words):
        run(table, tmp_path / "store", groups, autoencoders, folder=False)


def test_what_is_missing_is_named(tree, groups, autoencoders, tmp_path):
    with pytest.raises(InputError, match="autoencoder heights"):
        run(tree, tmp_path / "store", groups, [], folder=False)
    with pytest.raises(InputError, match="nor a CSV file"):
        run(tmp_path / "empty", tmp_path / "store", groups, autoencoders, folder=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no cells of Major TOM"):
        run(tmp_path / "empty", tmp_path / "store", groups, autoencoders, folder=False)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("S2B_MSIL2A_20200519T110619_N0500", datetime.date(2020, 5, 19)),
        ("2021-12-31 10:00:00", datetime.date(2021, 12, 31)),
        ("0U_199R_2020", None),
        ("id", None),
    ],
)
def test_days_in_names(text, day):
    assert day_in(text) == day

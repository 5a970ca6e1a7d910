"""Two sets of images place by place, the benchmark's own form, and tables of positions and dates."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from evaluation_rasters import field
from rasters import write
from typer.testing import CliRunner

from engine.cli import app
from engine.errors import InputError
from engine.evaluation import benchmark, distributions
from engine.evaluation.set_scores import chosen_samples, evaluate_sets
from engine.evaluation.vectors import evaluate_tables

BANDS = ["B02", "B04", "B08"]


def images(folder, place, seeds, shift=0.0, **profile):
    (folder / place).mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        brightness = np.random.default_rng(seed).normal(0, 0.02)
        values = field(seed, 3, 40, 40) + np.float32(brightness + shift)
        write(folder / place / f"seed_{seed}.tif", values, names=BANDS, **profile)


@pytest.fixture
def sets(tmp_path):
    for place, shift in (("a", 0.0), ("b", 0.3)):
        images(tmp_path / "real", place, range(6))
        images(tmp_path / "made", place, range(10, 15), shift)
    images(tmp_path / "real", "only_real", range(3))
    return tmp_path / "real", tmp_path / "made"


def test_each_place_is_scored_for_itself(sets):
    report = evaluate_sets(*sets)
    assert set(report.places) == {"a", "b"}
    assert report.images == (12, 10)
    near, far = report.places["a"], report.places["b"]
    assert far["nn_accuracy"] == 1
    assert (far["precision"], far["recall"], far["coverage"]) == (0, 0, 0)
    assert near["wasserstein"] < 0.1 < far["wasserstein"]
    assert near["wasserstein_b8"] > 0
    assert report.mean["mmd"] == pytest.approx((near["mmd"] + far["mmd"]) / 2)
    assert report.std["mmd"] == pytest.approx(np.std([near["mmd"], far["mmd"]], ddof=1))


def test_rasters_of_one_folder_are_of_one_place(sets):
    report = evaluate_sets(sets[0] / "a", sets[1] / "a", bands=["B08"])
    assert report.bands == ["B08"]
    assert report.mean["mmd"] == report.places[""]["mmd"]
    assert report.std == {}


def grid_file(tmp_path, cells):
    corner = {"ul_x": 500_000.0, "ul_y": 5_000_000.0, "crs": "EPSG:32633"}
    (tmp_path / "grid.json").write_text(json.dumps(dict.fromkeys(cells, corner)))
    return tmp_path / "grid.json"


def test_the_benchmark_compares_footprints_of_images_with_data(tmp_path):
    # 60 m pixels would not do: footprints are 192 px of 10 m, 4380 m from the corner.
    whole = np.zeros((3, 640, 640), np.float32)
    for seed in range(4):
        whole[:, 438:630, 438:630] = field(seed, 3, 192, 192)
        (tmp_path / "real/c").mkdir(parents=True, exist_ok=True)
        write(tmp_path / f"real/c/{seed}.tif", whole, names=BANDS)
    write(tmp_path / "real/c/empty.tif", whole * 0, names=BANDS)
    (tmp_path / "made/c").mkdir(parents=True)
    for seed in range(20):
        write(tmp_path / f"made/c/seed_{seed}.tif", whole, names=BANDS)
    report = evaluate_sets(tmp_path / "real", tmp_path / "made", grid=grid_file(tmp_path, ["c"]))
    assert report.images == (4, benchmark.SEEDS_PER_CELL)
    truth = distributions.spectra(np.stack([field(seed, 3, 192, 192) for seed in range(4)]))
    assert report.mean["intra_real"] == pytest.approx(distributions.intra_set_distance(truth))
    assert report.mean["intra_generated"] == 0
    with pytest.raises(InputError, match="two real images"):
        evaluate_sets(tmp_path / "real", tmp_path / "made", grid=grid_file(tmp_path, ["d"]))


def test_parquet_shards_as_published(tmp_path, sets):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: evaluate)")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (extra: evaluate)")
    for folder, name in zip(sets, ("real", "made"), strict=True):
        rows = {"grid_cell": [], "sample_id": [], **{band: [] for band in BANDS}}
        for place in ("a", "b"):
            for file in sorted((folder / place).iterdir()):
                rows["grid_cell"].append(place)
                rows["sample_id"].append(file.stem)
                for number, band in enumerate(BANDS):
                    with rasterio.open(file) as dataset:
                        plane = (dataset.read([number + 1]) * 10000).astype(np.float32)
                    rows[band].append(Path(write(tmp_path / "x.tif", plane)).read_bytes())
        (tmp_path / "shards" / name).mkdir(parents=True)
        parquet.write_table(arrow.table(rows), tmp_path / "shards" / name / "0.parquet", row_group_size=3)
    shards = tmp_path / "shards"
    found = evaluate_sets(shards / "real", shards / "made", scales=(1e-4, 1e-4))
    assert found.bands == BANDS
    assert found.mean == pytest.approx(evaluate_sets(*sets).mean, abs=1e-5)
    parquet.write_table(arrow.table({"cell": ["a"]}), shards / "real" / "1.parquet")
    with pytest.raises(InputError, match="no column grid_cell"):
        evaluate_sets(shards / "real", shards / "made")


def test_through_a_network(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: evaluate)")
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed (extra: evaluate)")
    from engine.evaluation.backbones import BACKBONES

    torch.manual_seed(1)
    torch.save(BACKBONES["alexnet"].make().state_dict(), tmp_path / "alexnet.pth")
    images(tmp_path / "real", "a", range(2))
    images(tmp_path / "made", "a", [7])
    report = evaluate_sets(tmp_path / "real", tmp_path / "made", weights=[str(tmp_path / "alexnet.pth")])
    assert report.mean["lpips_real"] > 0
    assert "lpips_generated" not in report.mean  # one image has no diversity
    assert report.pooled == {}


def test_samples_without_seeds_are_all_taken():
    assert chosen_samples("a", ["x.tif", "seed_3.tif"]) == ["x.tif", "seed_3.tif"]
    names = [f"seed_{seed}.tif" for seed in range(33)]
    assert len(chosen_samples("106D_246R", names)) == benchmark.SEEDS_PER_CELL


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda real, made: (real, made.parent / "none"), "does not exist"),
        (lambda real, made: (real, made / "a"), "no place in common"),
        (
            lambda real, made: (real, write(made / "a/x.tif", np.ones((3, 4, 4), np.float32)) and made),
            "differ",
        ),
        (lambda real, made: (real, (made.parent / "e").mkdir() or made.parent / "e"), "holds no images"),
    ],
)
def test_refused_in_one_sentence(sets, change, match):
    with pytest.raises(InputError, match=match) as raised:
        evaluate_sets(*change(*sets))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("text", "match"), [("{", "JSON object"), ('{"a": {"ul_x": 1}}', "ul_y")])
def test_a_grid_of_another_form(sets, tmp_path, text, match):
    (tmp_path / "grid.json").write_text(text)
    with pytest.raises(InputError, match=match):
        evaluate_sets(*sets, grid=tmp_path / "grid.json")


def test_the_command_for_sets(sets, tmp_path):
    given = ["evaluate-sets", *map(str, sets)]
    shown = CliRunner().invoke(app, [*given, "--html", str(tmp_path / "r.html")])
    assert shown.exit_code == 0, shown.output
    assert "1-NN accuracy" in shown.output
    assert "1-NN accuracy" in (tmp_path / "r.html").read_text()
    printed = json.loads(CliRunner().invoke(app, [*given, "--json", "-"]).output)
    assert printed["places"]["b"]["nn_accuracy"] == 1


def table(path, head, rows):
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_positions_and_dates(tmp_path):
    truth = table(tmp_path / "t.csv", "id,lat,lon", ["a,0,179.9", "b,10,20"])
    made = table(tmp_path / "m.csv", "id,lon,lat", ["b,20,10", "a,-179.9,0"])
    found = evaluate_tables(truth, made)
    assert found["rows"] == 2
    assert found["within_1km"] == 0.5
    assert found["mean_km"] == pytest.approx(6371 * np.radians(0.2) / 2)
    truth = table(tmp_path / "t.csv", "id,day,month,year", ["a,31,12,2019"])
    made = table(tmp_path / "m.csv", "id,day,month,year", ["a,1,1,2020"])
    assert evaluate_tables(truth, made)["mean_days"] == 1
    printed = CliRunner().invoke(app, ["evaluate", str(truth), str(made), "--json", "-"])
    assert json.loads(printed.output)["results"][str(made)]["mean_months"] == 11


@pytest.mark.parametrize(
    ("head", "row", "match"),
    [
        ("id,lat,lon", "z,1,2", "no id in common"),
        ("id,lat,lon", "a,north,2", "'north' for lat"),
        ("id,x,y", "a,1,2", "need the columns"),
        ("name,lat,lon", "a,1,2", "first line"),
        ("id,day,month,year", "a,31,2,2020", "31-2-2020"),
    ],
)
def test_tables_are_refused_in_one_sentence(tmp_path, head, row, match):
    good = {"day": ("id,day,month,year", "a,1,2,2020")}.get(head.split(",")[1], ("id,lat,lon", "a,1,2"))
    truth = table(tmp_path / "t.csv", good[0], [good[1]])
    with pytest.raises(InputError, match=match):
        evaluate_tables(truth, table(tmp_path / "m.csv", head, [row]))

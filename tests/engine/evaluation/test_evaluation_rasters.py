"""Comparing files: grids, bands, units, nodata, samples, classes, reports, and what is refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import rasterio
from affine import Affine
from evaluation_rasters import compare, field, pair
from rasters import NORTH_UP, write
from typer.testing import CliRunner

from engine.cli import app
from engine.errors import CancelledError, InputError, MissingPackageError, OutputError
from engine.evaluation import needs
from engine.evaluation.evaluate import evaluate
from engine.evaluation.request import Comparison


def scores(report, result=0):
    return report.results[result].scores


def test_a_raster_against_itself(tmp_path):
    paths = pair(tmp_path, field(1), field(1))
    report = compare(*paths)
    assert scores(report)["rmse"] == 0
    assert scores(report)["psnr"] is None
    assert report.pixels == 96 * 80
    assert report.share == 1
    assert report.place["crs"] == "EPSG:32633"


def test_nodata_of_either_is_left_out(tmp_path):
    truth, made = field(1), field(2)
    truth[:, :10] = -9
    made[1, :, :7] = -9
    report = compare(*pair(tmp_path, truth, made, nodata=-9))
    assert report.pixels == 86 * 73
    assert scores(report)["mae"] < 0.1


def test_bands_go_by_name_whatever_their_order(tmp_path):
    truth = field(1)
    reference = write(tmp_path / "t.tif", truth, names=["B02", "B03", "B04"])
    result = write(tmp_path / "m.tif", truth[[2, 0]], names=["B4", "b2"])
    report = compare(reference, result)
    assert report.bands == ["B02", "B04"]
    assert scores(report)["rmse"] == 0


def test_bands_without_names_go_by_order_and_it_is_said(tmp_path):
    report = compare(*pair(tmp_path, field(1), field(1)))
    assert scores(report)["rmse"] == 0
    assert any("order" in note for note in report.notes)


def test_bands_as_asked(tmp_path):
    reference, result = pair(tmp_path, field(1), field(1)[[2, 1, 0]])
    report = compare({"path": reference, "bands": [1]}, {"path": result, "bands": [3]})
    assert scores(report)["rmse"] == 0
    assert scores(report)["sam"] is None


def test_stored_numbers_are_compared_in_physical_units(tmp_path):
    truth = field(1)
    reference = write(tmp_path / "t.tif", truth)
    stored = (truth * 10000).round().astype(np.uint16)
    result = write(tmp_path / "m.tif", stored)
    with rasterio.open(result, "r+") as dataset:
        dataset.scales = [1e-4] * 3
    assert scores(compare(reference, result))["mae"] < 1e-4
    again = compare(reference, {"path": write(tmp_path / "n.tif", stored), "scale": 1e-4})
    assert scores(again)["mae"] < 1e-4


def test_digital_numbers_against_reflectance(tmp_path):
    truth = field(1)
    reference = write(tmp_path / "t.tif", (truth * 10000).round().astype(np.uint16))
    result = write(tmp_path / "m.tif", truth)
    with rasterio.open(result, "r+") as dataset:
        dataset.units = ["reflectance"] * 3
    report = compare(reference, result)
    assert scores(report)["mae"] < 1e-4
    assert report.value_range == (0, 1)
    assert any("10000" in note for note in report.notes)


def test_scales_that_are_far_apart_are_pointed_out(tmp_path):
    report = compare(*pair(tmp_path, field(1), field(1) * 5000))
    assert any("5000-fold" in note for note in report.notes)


def test_only_the_common_part_on_the_references_grid(tmp_path):
    truth = field(1)
    reference = write(tmp_path / "t.tif", truth)
    result = write(tmp_path / "m.tif", truth[:, 20:, 30:], transform=NORTH_UP * Affine.translation(30, 20))
    report = compare(reference, result)
    assert (report.place["height"], report.place["width"]) == (76, 50)
    assert scores(report)["rmse"] == 0
    assert not any("resampled" in note for note in report.notes)


def test_a_coarser_result_is_resampled_and_it_is_said(tmp_path):
    rows = np.mgrid[:96, :80][0] / 96
    truth = np.stack([rows] * 3).astype(np.float32)
    coarse = truth.reshape(3, 48, 2, 40, 2).mean(axis=(2, 4))
    reference = write(tmp_path / "t.tif", truth)
    result = write(tmp_path / "m.tif", coarse, transform=NORTH_UP * Affine.scale(2))
    report = compare(reference, result)
    assert scores(report)["mae"] < 0.002
    assert any("resampled" in note for note in report.notes)


def test_samples_are_summed_up_honestly(tmp_path):
    truth = field(1)
    reference = write(tmp_path / "t.tif", truth)
    results = [write(tmp_path / f"{i}.tif", truth + np.float32(0.01 * (i + 1))) for i in range(3)]
    report = compare(reference, *results)
    maes = [scores(report, i)["mae"] for i in range(3)]
    assert report.samples["mae"] == pytest.approx(
        {"mean": np.mean(maes), "std": np.std(maes, ddof=1), "best": maes[0], "best_result": 1}
    )
    assert report.samples["bias"]["best_result"] == 1
    assert report.tiles["best"]["mae"] < report.tiles["mean"]["mae"]


def test_class_maps(tmp_path):
    truth = np.zeros((1, 40, 50), np.uint8)
    truth[:, :20] = 10
    made = truth.copy()
    made[:, 20:30] = 10
    html = tmp_path / "r.html"
    report = compare(*pair(tmp_path, truth, made), kind="classes", html=str(html))
    assert "<b>class 10</b></td><td>1000</td>" in html.read_text()
    assert scores(report)["accuracy"] == 0.75
    assert scores(report)["mean_iou"] == pytest.approx((0.5 + 20 / 30) / 2)
    assert report.results[0].per_band["class 10"]["precision"] == pytest.approx(2 / 3)


def test_scores_of_every_class(tmp_path):
    truth = np.random.default_rng(1).integers(0, 4, (1, 40, 50)).astype(np.uint8)
    made = (truth == np.arange(4)[:, None, None]).astype(np.float32)
    made[:, :10] = np.arange(4, dtype=np.float32)[::-1, None, None]
    report = compare(*pair(tmp_path, truth, made), kind="classes")
    wrong = (truth[0, :10] != 0).sum() / truth.size
    assert scores(report)["accuracy"] == pytest.approx(1 - wrong)
    assert scores(report)["top3"] == pytest.approx(1 - (truth[0, :10] == 3).sum() / truth.size)


def test_the_report_is_one_file_that_needs_nothing_else(tmp_path):
    html, numbers = tmp_path / "r.html", tmp_path / "r.json"
    compare(*pair(tmp_path, field(1), field(2)), html=str(html), json_file=str(numbers))
    text = html.read_text()
    assert not re.search(r"https?:|<script|<link|src=\"(?!data:)", text)
    assert text.count("data:image/png;base64,") == 6
    found = json.loads(numbers.read_text())
    assert found["results"][0]["scores"]["ssim"] > 0
    assert not list(tmp_path.glob("*.part"))


def test_names_cannot_break_the_report(tmp_path):
    path = write(tmp_path / "<b>&.tif", field(1), names=["<i>", "b", "c"])
    compare(path, path, html=str(tmp_path / "r.html"))
    text = (tmp_path / "r.html").read_text()
    assert "<i>" not in text
    assert "&lt;b&gt;&amp;.tif" in text


def test_qnr(tmp_path):
    pytest.importorskip("torchmetrics", reason="needs the extra evaluate")
    truth = field(1, height=64, width=64)
    coarse = truth.reshape(3, 16, 4, 16, 4).mean(axis=(2, 4))
    reference = write(tmp_path / "t.tif", truth)
    multispectral = write(tmp_path / "ms.tif", coarse, transform=NORTH_UP * Affine.scale(4))
    pan = write(tmp_path / "pan.tif", truth.mean(axis=0, keepdims=True))
    noisy = write(tmp_path / "n.tif", truth + np.random.default_rng(1).normal(0, 0.2, truth.shape))
    further = {"multispectral": {"path": multispectral}, "pan": {"path": pan}}
    report = compare(reference, reference, noisy, **further)
    assert 1 > scores(report, 0)["qnr"] > scores(report, 1)["qnr"] > 0
    with pytest.raises(InputError, match="--pan"):
        compare(reference, reference, multispectral={"path": multispectral})
    with pytest.raises(InputError, match="times as large"):
        compare(reference, reference, multispectral={"path": reference}, pan={"path": pan})


def test_cancelled_writes_nothing(tmp_path):
    reference, result = pair(tmp_path, field(1), field(2))
    wanted = Comparison.model_validate(
        {"reference": {"path": reference}, "results": [{"path": result}], "html": str(tmp_path / "r.html")}
    )
    with pytest.raises(CancelledError):
        evaluate(wanted, is_cancelled=lambda: True)
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("change", "settings", "match"),
    [
        ({"bands": 2}, {}, "--result-bands"),
        ({"transform": Affine(10, 0, 900_000, 0, -10, 5_000_000)}, {}, "does not overlap"),
        ({"crs": None}, {}, "has no CRS"),
        ({"values": "nan"}, {}, "No pixel is valid"),
        ({}, {"value_range": (1, 0)}, "must rise"),
        ({}, {"kind": "classes"}, "3 bands"),
        ({}, {"weights": ("/no/such.pth",)}, "cannot be read"),
    ],
)
def test_refused_in_one_sentence(tmp_path, change, settings, match):
    reference = write(tmp_path / "t.tif", field(1))
    made = field(2, change.pop("bands", 3))
    if change.pop("values", None):
        made[:] = np.nan
    if "weights" in settings:
        pytest.importorskip("torchmetrics", reason="needs the extra evaluate")
    with pytest.raises(InputError, match=match) as raised:
        compare(reference, write(tmp_path / "m.tif", made, **change), **settings)
    assert "\n" not in str(raised.value)


def test_measured_values_are_no_classes(tmp_path):
    with pytest.raises(InputError, match="no class codes"):
        compare(*pair(tmp_path, field(1, 1), field(2, 1)), kind="classes")


def test_a_constant_reference_needs_a_range(tmp_path):
    flat = np.full((1, 40, 40), 0.3, np.float32)
    paths = pair(tmp_path, flat, field(1, 1, 40, 40))
    with pytest.raises(InputError, match="--range"):
        compare(*paths)
    assert scores(compare(*paths, value_range=(0, 1)))["r2"] is None


def test_a_report_that_cannot_be_written(tmp_path):
    paths = pair(tmp_path, field(1), field(2))
    with pytest.raises(OutputError, match="does not exist"):
        compare(*paths, html=str(tmp_path / "no" / "r.html"))
    with pytest.raises(OutputError, match="would replace"):
        compare(*paths, json_file=paths[1])
    (tmp_path / "r.html").mkdir()
    with pytest.raises(OutputError, match="directory"):
        compare(*paths, html=str(tmp_path / "r.html"))
    assert not list(tmp_path.glob("*.part"))


def test_a_missing_package_is_named_with_the_command():
    with pytest.raises(MissingPackageError, match=r"pip install 'eo-translate\[evaluate\]'"), needs.needed():
        import no_such_package_of_ours  # noqa: F401


def test_the_command(tmp_path):
    reference, result = pair(tmp_path, field(1), field(2))
    shown = CliRunner().invoke(app, ["evaluate", reference, result, "--html", str(tmp_path / "r.html")])
    assert shown.exit_code == 0
    assert "PSNR" in shown.output
    assert "alexnet-owt" in shown.output
    printed = CliRunner().invoke(app, ["evaluate", reference, result, "--bands", "1,3", "--json", "-"])
    assert printed.exit_code == 1
    printed = CliRunner().invoke(
        app, ["evaluate", reference, result, "--bands", "1", "--result-bands", "3", "--json", "-"]
    )
    assert json.loads(printed.output)["results"][0]["scores"]["sam"] is None
    assert CliRunner().invoke(app, ["evaluate", reference, result, "--range", "0"]).exit_code == 1

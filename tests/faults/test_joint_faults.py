"""Any-to-any jobs that are killed, cancelled, or given what they cannot use: a sentence, and nothing lost."""

import json
import os
import shutil
import sys
import time

import numpy as np
import pytest
from fault_jobs import Run, digest, finished, wait_for
from rasters import run, write

pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")
pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")

from joint_packages import beta_package
from safetensors.torch import load_file, save_file

from engine import job as engine_job
from engine.errors import CancelledError, InputError, ModelError
from engine.models.weights import sha256_file
from engine.spec import Job
from engine.translators.base import close_warm

COUNT, CHUNK, WIDTH = 3, 512, 40
NODATA = -9999.0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A package whose windows are 64 px wide."""
    place = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(place / "home"))
        yield str(beta_package(place / "files").folder)


def heights(height=CHUNK * COUNT - 7, width=WIDTH):
    rows, cols = np.mgrid[:height, :width]
    return (300 + 80 * np.sin(rows / 31) * np.cos(cols / 47)).astype(np.float32)[None]


def document(model, folder, values=None, **fields):
    """A job of COUNT chunks, one above the other."""
    dem = write(folder / "dem.tif", heights() if values is None else values, nodata=NODATA)
    return {
        "model": model,
        "inputs": {"dem": {"path": dem}},
        "generate": ["s2_l2a"],
        "output": str(folder / "out.tif"),
        "steps": 2,
        "stages": 1,
        "seed": 5,
        "chunk_px": CHUNK,
        "threads": 1,
        **fields,
    }


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_runs_go_on_to_the_same_pixels(model, tmp_path):
    place = document(model, tmp_path, stages=2, resume="continue")
    output = tmp_path / "out.tif"
    engine_job.run(Job.model_validate(place))
    expected = digest(output)
    output.unlink()
    kinds = ("worker", "cli") * max(1, int(os.environ.get("EO_TRANSLATE_KILLS", 2)) // 2)
    for number, kind in enumerate(kinds):
        life = Run(place, kind)
        before = life.journalled()
        wait_for(lambda life=life, n=before: not life.running or min(n + 1, COUNT) <= life.journalled())
        life.kill()
        assert life.journalled() > before or output.exists(), f"{kind} {number} ended without a part"
        if output.exists() and not life.journalled():
            assert digest(output) == expected
            output.unlink()
    end, _ = finished(Run(place))
    assert end["event"] == "result", end
    assert digest(output) == expected


def test_a_cancelled_window_ends_between_two_evaluations(model, tmp_path):
    """400 evaluations a window: what is not noticed within one window would be noticed far too late."""
    place = document(model, tmp_path, steps=400, stages=1)
    cancelled = []

    def is_cancelled():
        return bool(cancelled)

    def on_progress(share, text):
        if text.startswith("Part 1") and share > 0 and not cancelled:
            cancelled.append(time.monotonic())

    with pytest.raises(CancelledError):
        engine_job.run(Job.model_validate(place), on_progress=on_progress, is_cancelled=is_cancelled)
    assert time.monotonic() - cancelled[0] < 2
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_values_that_are_no_numbers_are_nodata(model, tmp_path, value):
    values = heights(90, 80)
    values[:, 50:60, :50] = NODATA
    expected, *_ = _run(model, tmp_path / "a.tif", values)
    values[:, 50:60, :50] = value
    found, *_ = _run(model, tmp_path / "b.tif", values)
    np.testing.assert_array_equal(found, expected)
    assert (found[:, 50:60, :50] == 0).all()
    assert (found[:, 60:] > 0).all()


@pytest.mark.parametrize("side", ["left", "top", "checkerboard"])
def test_half_a_tile_of_nodata_leaves_the_other_half(model, tmp_path, side):
    values = heights(90, 80)
    rows, cols = np.mgrid[:90, :80]
    lost = {"left": cols < 40, "top": rows < 45, "checkerboard": (rows // 9 + cols // 9) % 2 == 0}[side]
    values[:, lost] = NODATA
    found, *_ = _run(model, tmp_path / "a.tif", values)
    assert (found[:, lost] == 0).all()
    assert (found[:, ~lost] > 0).all()


def test_nothing_but_nodata_is_a_sentence(model, tmp_path):
    with pytest.raises(InputError, match="dem"):
        _run(model, tmp_path / "a.tif", np.full((1, 60, 60), np.nan, np.float32))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-dem.tif"]


def test_a_model_whose_numbers_overflow_is_a_sentence_and_no_grey_image(model, tmp_path):
    folder = _copy(model, tmp_path)
    state = load_file(folder / "model.safetensors")
    state = {name: tensor * 1e30 if "mlp" in name else tensor for name, tensor in state.items()}
    save_file(state, folder / "model.safetensors")
    _described_anew(folder)
    with pytest.raises(ModelError, match="s2_l2a that are no finite numbers in float32"):
        _run(str(folder), tmp_path / "a.tif", heights(80, 90))
    assert not list(tmp_path.glob("a.tif*"))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("name", ["model.safetensors", "autoencoder.safetensors"])
def test_weights_cut_short_are_a_sentence(model, tmp_path, name, share):
    folder = _copy(model, tmp_path)
    size = (folder / name).stat().st_size
    os.truncate(folder / name, int(size * share))
    with pytest.raises(ModelError) as caught:
        _run(str(folder), tmp_path / "a.tif", heights(80, 90))
    text = str(caught.value)
    assert name in text
    assert "\n" not in text
    assert not list(tmp_path.glob("a.tif*"))


def test_latents_of_another_size_are_a_sentence(model, tmp_path):
    folder = _copy(model, tmp_path)

    def halve(properties):
        for group in properties["eo_translate:groups"]:
            group["latent"] |= {"height": 4, "width": 4}

    _described_anew(folder, halve)
    with pytest.raises(ModelError) as caught:
        _run(str(folder), tmp_path / "a.tif", heights(80, 90))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("a.tif*"))


def _run(model, output, values):
    dem = write(output.with_name(f"{output.stem}-dem.tif"), values, nodata=NODATA)
    return run(
        output,
        model,
        inputs={"dem": {"path": dem}},
        generate=["s2_l2a"],
        steps=2,
        stages=1,
        seed=5,
        threads=1,
    )


def _copy(model, folder):
    close_warm()
    return shutil.copytree(model, folder / "copy" / "beta")


def _described_anew(folder, change=lambda properties: None):
    """The item of changed files: with other properties, and with the hashes that the files have now."""
    path = folder / "item.json"
    item = json.loads(path.read_text())
    change(item["properties"])
    for asset in item["assets"].values():
        file = folder / asset["href"]
        asset |= {"file:size": file.stat().st_size, "file:checksum": "1220" + sha256_file(file)}
    path.write_text(json.dumps(item))

"""Sample grids of a run, and the package that it becomes."""

import shutil

import numpy as np
import pytest
import rasterio
import torch
from hydra.errors import InstantiationException
from joint_autoencoders import write_autoencoder
from joint_stores import GROUPS, fit_here, sample
from rasterio.transform import from_origin

pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")

from safetensors.torch import load_file

from engine.errors import InputError, ModelError
from engine.job import run as run_job
from engine.models.verify import verify
from engine.models.weights import sha256_file
from engine.spec import Job
from training.datasets.latent_store import StoreInfo, StoreWriter
from training.export_joint import is_joint, load_joint_run, package

REQUESTS = (
    "grids.requests=[{_target_: training.tasks.sample_grids.Request, generate: [s2], given: [dem]},"
    "{_target_: training.tasks.sample_grids.Request}]"
)


@pytest.fixture(scope="module")
def autoencoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("autoencoders")
    return {f"{name}-autoencoder": write_autoencoder(folder / f"{name}.pth", 2) for name in ("dem", "s2")}


@pytest.fixture(scope="module")
def run(tmp_path_factory, autoencoders):
    folder = tmp_path_factory.mktemp("run")
    digests = {key: sha256_file(path) for key, path in autoencoders.items()}
    groups = tuple(g.model_copy(update={"pixel": 2}) if g.name == "dem" else g for g in GROUPS)
    info = StoreInfo(groups=groups, autoencoders=digests, source="test")
    StoreWriter(folder / "store", info, False).add({f"place{i % 4}_{i}": sample(i) for i in range(8)})
    words = [f"+autoencoders.{key}={path}" for key, path in autoencoders.items()]
    more = [REQUESTS, "grids.steps=2", "grids.count=2", "trainer.max_epochs=2", "sampler.steps=4"]
    return fit_here(folder / "run", folder / "store", *words, *more)


def test_samples_are_drawn_after_each_validation(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "log"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()["images"]
    assert sorted(tags) == ["samples/dem to s2", "samples/nothing to all"]
    shown = events.Images("samples/dem to s2")
    assert len(shown) == 2
    # dem, true s2, drawn s2 of two patches of 16 pixels
    assert (shown[0].width, shown[0].height) == (3 * 16, 2 * 16)


def test_a_run_becomes_a_package(run, autoencoders, tmp_path):
    assert is_joint(run)
    package(run, tmp_path / "own-model", {"mean": {"psnr": 20.0}})
    item = verify(tmp_path / "own-model").item
    _, average, state = load_joint_run(run)
    stored = load_file(tmp_path / "own-model" / "model.safetensors")
    assert stored.keys() == average.keys()
    for name, tensor in stored.items():
        assert torch.equal(tensor, average[name])
    coder = load_file(tmp_path / "own-model" / "s2-autoencoder.safetensors")
    published = torch.load(autoencoders["s2-autoencoder"], weights_only=True)
    assert coder.keys() == published.keys()
    assert [group.name for group in item.groups] == [group.name for group in GROUPS]
    assert (item.sampler.heads, item.sampler.steps, item.sampler.window_px) == (2, 4, 16)
    assert item.sampler.stride_px == 12
    assert item.training["steps"] == int(state["global_step"]) > 0
    assert item.training["never_trained_on"] == ["place3"]
    assert item.metrics["mean"] == {"psnr": 20.0}
    assert np.isfinite(item.metrics["validation_loss"])
    assert not (tmp_path / "own-model.part").exists()


def test_other_autoencoders_are_refused(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    other = write_autoencoder(tmp_path / "other.pth", 2, seed=5)
    text = (copy / "config.yaml").read_text()
    name = next(line for line in text.splitlines() if "s2-autoencoder:" in line)
    (copy / "config.yaml").write_text(text.replace(name, f"  s2-autoencoder: {other}"))
    with pytest.raises(InputError, match="not the one that made the latents"):
        package(copy, tmp_path / "out")
    (copy / "config.yaml").write_text(text.replace(name, "  s2-autoencoder: null"))
    with pytest.raises(InputError, match="s2-autoencoder are missing"):
        package(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_published_weights_are_a_start(run, tmp_path):
    _, average, _ = load_joint_run(run)
    (tmp_path / "9.ckpt").mkdir()
    torch.save(average, tmp_path / "9.ckpt" / "nnet_ema.pth")
    store = run.parent / "store"
    words = [f"network.init={tmp_path / '9.ckpt'}", "task.optimisation.rate=0", "grids=null"]
    fit_here(tmp_path / "run", store, *words, "trainer.max_epochs=1")
    found = load_joint_run(tmp_path / "run")[1]
    for name, tensor in average.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-7)
    with pytest.raises(InstantiationException) as caught:
        fit_here(tmp_path / "other", store, *words, "network.width=48")
    assert isinstance(caught.value.__cause__, ModelError)  # which eo-train shows as one sentence
    assert "does not fit the denoiser" in str(caught.value.__cause__)


def test_the_package_translates_rasters(run, tmp_path):
    package(run, tmp_path / "own-model")
    profile = {"driver": "GTiff", "count": 2, "height": 40, "width": 56, "dtype": "uint16", "nodata": 0}
    profile |= {"crs": "EPSG:32633", "transform": from_origin(500000, 5000000, 10, 10)}
    values = np.random.default_rng(0).integers(1, 9000, (2, 40, 56)).astype(np.uint16)
    with rasterio.open(tmp_path / "dem.tif", "w", **profile) as target:
        target.write(values)
    job = Job(
        model=str(tmp_path / "own-model"),
        inputs={"dem": {"path": str(tmp_path / "dem.tif")}},
        generate=["s2"],
        output=str(tmp_path / "s2.tif"),
        steps=2,
        seed=1,
        threads=1,
        device="cpu",
    )
    run_job(job)
    with rasterio.open(tmp_path / "s2.tif") as result:
        assert (result.height, result.width, result.count) == (40, 56, 2)
        assert result.transform == profile["transform"]
        drawn = result.read()
    assert len(np.unique(drawn)) > 50

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("diffusers", reason="needs the [diffusion] extra")

import lightning as L  # noqa: E402
from made_pairs import make_pair  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402

from engine.networks.small_decoder import SmallDecoder, small_decoder_from_tensors  # noqa: E402
from training import codecs  # noqa: E402
from training.datasets.joint_scenes import LayerModule, Scene, scene  # noqa: E402
from training.datasets.module import Sampling  # noqa: E402
from training.tasks.autoencoder import AutoencoderTask, Losses, draw, new_autoencoder  # noqa: E402
from training.tasks.reconstruction import Adversary, Layer, Rates  # noqa: E402
from training.tasks.small_decoder import Distillation, SmallDecoderTask  # noqa: E402

torch.set_num_threads(1)

LAYER = Layer(channels=3, mean=-0.6, deviation=0.2)
RATES = Rates(rate=2e-3, discriminator_rate=1e-3, rise_steps=2, fall=0.5, averaging=0.5)
NETWORK = {
    "_target_": "training.tasks.autoencoder.new_autoencoder",
    "channels": 3,
    "widths": [32, 32],
    "blocks": 1,
    "latent": 2,
    "mean": -0.6,
    "deviation": 0.2,
}


def data(steps: int = 3, group: str = "s2") -> LayerModule:
    sampling = Sampling(seed=3, size=32, batch_size=2, steps_per_epoch=steps)
    module = LayerModule(["none"], group, ["there"], sampling, (2, 2))
    module.scenes = [scene(make_pair(i, size=128, location="there" if i == 3 else "here")) for i in range(4)]
    return module


def fit(task: L.LightningModule, folder: Path, epochs: int = 1, resume: bool = False) -> None:
    keep = L.pytorch.callbacks.ModelCheckpoint(
        folder, "last", enable_version_counter=False, save_on_train_epoch_end=False
    )
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        callbacks=[keep],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    trainer.fit(task, data(), ckpt_path=folder / "last.ckpt" if resume else None, weights_only=True)


def autoencoder_task(adversarial: float = 0.0) -> AutoencoderTask:
    torch.manual_seed(0)
    network = new_autoencoder(3, (32, 32), 1, 2, -0.6, 0.2)
    return AutoencoderTask(network, LAYER, Losses(), RATES, Adversary(adversarial, 2))


def small_task(autoencoder: Path) -> SmallDecoderTask:
    torch.manual_seed(0)
    return SmallDecoderTask(
        SmallDecoder(2, 3, (8, 8), (1, 1)), str(autoencoder), LAYER, Distillation(), RATES, Adversary(0.1, 1)
    )


def weights(task: L.LightningModule) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in task.state_dict().items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of an autoencoder, exported."""
    folder = tmp_path_factory.mktemp("kl")
    fit(autoencoder_task(), folder)
    OmegaConf.save({"network": NETWORK}, folder / "config.yaml")
    config, network = codecs.averaged(folder)
    assert "init" not in config.network
    scale = codecs.latent_scale(network, data(60))
    codecs._saved(codecs.published(network), folder / codecs.AUTOENCODER_NAME, {"scale": repr(scale)})
    return folder


def test_resumed_training_equals_uninterrupted_training(tmp_path):
    whole, first, second = (autoencoder_task(0.1) for _ in range(3))
    fit(whole, tmp_path / "whole", epochs=2)
    # The rates fall over all epochs, so that a stop after one must not be the plan's end.
    first.rates = second.rates = whole.rates
    stopped = tmp_path / "stopped"
    fit_one_of_two(first, stopped)
    fit(second, stopped, epochs=2, resume=True)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(second)[name]), name


def fit_one_of_two(task: L.LightningModule, folder: Path) -> None:
    class Stop(L.Callback):
        def on_train_epoch_end(self, trainer, module):
            trainer.should_stop = True

    keep = L.pytorch.callbacks.ModelCheckpoint(
        folder, "last", enable_version_counter=False, save_on_train_epoch_end=False
    )
    L.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        callbacks=[keep, Stop()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    ).fit(task, data())


def test_training_brings_the_image_back(tmp_path):
    task = autoencoder_task()
    batch = next(iter(data().train_dataloader()))
    before = (task.copied(batch["image"]) - batch["image"]).abs().mean()
    fit(task, tmp_path, epochs=6)
    after = (task.copied(batch["image"]) - batch["image"]).abs().mean()
    assert after < 0.8 * before


def test_an_exported_autoencoder_is_read_with_its_scale(run):
    network, scale = codecs.read_autoencoder(run / codecs.AUTOENCODER_NAME)
    crops = [data(60).train_dataloader().dataset[n] for n in range(40)]
    images, noise = (torch.stack([crop[key] for crop in crops]) for key in ("image", "noise"))
    with torch.no_grad():
        latent, _ = draw(network.encode(images).latent_dist.parameters, noise)
    assert float(scale * latent.std()) == pytest.approx(1, rel=0.05)


def test_other_layers_start_from_a_run_where_it_fits(run):
    torch.manual_seed(5)
    other = new_autoencoder(1, (32, 32), 1, 2, 0.0, 0.3, init=str(run / "last.ckpt"))
    torch.manual_seed(5)
    fresh = new_autoencoder(1, (32, 32), 1, 2, 0.0, 0.3)
    _, given = codecs.averaged(run)
    assert torch.equal(other.state_dict()["quant_conv.weight"], given.state_dict()["quant_conv.weight"])
    assert torch.equal(other.encoder.conv_in.weight, fresh.encoder.conv_in.weight)


def test_a_small_decoder_learns_beside_its_teacher(run, tmp_path):
    task = small_task(run / codecs.AUTOENCODER_NAME)
    before = weights(task)
    fit(task, tmp_path, epochs=2)
    assert not any(name.startswith("teacher") for name in before)
    assert not torch.equal(before["average.leave.weight"], task.state_dict()["average.leave.weight"])
    OmegaConf.save(
        {
            "network": {
                "_target_": "engine.networks.small_decoder.SmallDecoder",
                "latent": 2,
                "channels": 3,
                "widths": [8, 8],
                "blocks": [1, 1],
            }
        },
        tmp_path / "config.yaml",
    )
    file, _ = codecs.export(tmp_path)
    read = small_decoder_from_tensors(codecs.read_tensors(file), str(file))
    latent = torch.randn(1, 2, 8, 8)
    torch.testing.assert_close(read(latent), task.average(latent), atol=1e-2, rtol=0)


def test_the_divergence_is_that_of_normal_distributions():
    mean, log_variance = torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 2, 2), -1.0)
    latent, divergence = draw(torch.cat([mean, log_variance], 1), torch.zeros(1, 1, 2, 2))
    normal = torch.distributions.Normal
    truth = torch.distributions.kl_divergence(normal(mean, torch.exp(0.5 * log_variance)), normal(0.0, 1.0))
    torch.testing.assert_close(divergence, truth.sum())
    torch.testing.assert_close(latent, mean)


def test_layers_are_in_the_range_of_the_model():
    found: Scene = scene(make_pair(1, size=100))
    assert {name: variants[0].shape[0] for name, variants in found.layers.items()} == {
        "s2": 3,
        "s1": 1,
        "dem": 1,
        "lulc": 8,
    }
    for variants in found.layers.values():
        assert variants[0].shape[1:] == (128, 128)
        assert np.abs(variants[0]).max() <= 1
    assert (found.layers["lulc"][0].sum(axis=0) == 1 - 7).all()


def test_scenes_need_no_layer_that_is_not_wanted():
    assert set(scene(make_pair(1, dem=False)).layers) == {"s2", "s1", "lulc"}
    assert set(scene(make_pair(1), ("dem",)).layers) == {"dem"}

"""The real training task, run by Lightning on the authors' batch, makes the authors' steps."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
lightning = pytest.importorskip("lightning", reason="lightning is not installed (extra: train)")

from aras400k_data import files, names, tensors  # noqa: E402
from PIL import Image  # noqa: E402
from test_aras400k import closed_form_vgg  # noqa: E402

from engine.networks.aras400k import generator_from_tensors  # noqa: E402
from training.datasets.aras400k import CLASS_COLORS, Aras400kData  # noqa: E402
from training.tasks.aras400k import Aras400kTask  # noqa: E402


class Recorder(lightning.Callback):
    """Keeps the gradients and the weights of the first step, and the losses of every step."""

    def __init__(self):
        self.gradients, self.weights, self.losses = {}, {}, []

    def on_before_optimizer_step(self, trainer, task, optimizer):
        of_critic = any(p is next(task.critic.parameters()) for p in optimizer.param_groups[0]["params"])
        kind, network = ("critic", task.critic) if of_critic else ("generator", task.generator)
        if kind not in self.gradients:
            self.gradients[kind] = {name: p.grad.clone() for name, p in network.named_parameters()}

    def on_train_batch_end(self, trainer, task, outputs, batch, batch_index):
        self.losses.append({name: float(value) for name, value in trainer.logged_metrics.items()})
        if not self.weights:
            for kind in ("generator", "critic"):
                state = getattr(task, kind).state_dict()
                self.weights[kind] = {name: tensor.clone() for name, tensor in state.items()}


def write_pairs(archive, folder):
    for kind, arrays in (("images", archive["images_u8"]), ("masks", CLASS_COLORS[archive["labels"]])):
        (folder / kind).mkdir()
        for number, array in enumerate(arrays):
            Image.fromarray(array).save(folder / kind / f"{number:03d}.png")


def train(archive, folder):
    closed_form_vgg(archive["vgg_fill_seed"], folder / "vgg19.pth")
    write_pairs(archive, folder)
    start = {"generator": tensors(archive, "g0."), "critic": tensors(archive, "d0.")}
    network = generator_from_tensors(start["generator"], "g0")
    task = Aras400kTask(network, vgg_weights=str(folder / "vgg19.pth"))
    task.critic.load_state_dict(start["critic"])
    recorder = Recorder()
    trainer = lightning.Trainer(
        max_epochs=len(archive["printed"]),
        accelerator="cpu",
        callbacks=[recorder],
        log_every_n_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, datamodule=Aras400kData(str(folder), batch_size=len(archive["labels"]), workers=0))
    return recorder


@pytest.mark.parametrize("path", files("train_step_div*.npz"))
def test_train_step(path, tmp_path):
    archive = np.load(path)
    recorder = train(archive, tmp_path)
    assert len(recorder.losses) == len(archive["printed"])
    for found, (_, loss_d, loss_g) in zip(recorder.losses, archive["printed"], strict=True):
        # The authors print four decimals.
        assert found["loss_D"] == pytest.approx(loss_d, abs=1e-4)
        assert found["loss_G"] == pytest.approx(loss_g, abs=1e-4)
    for name in ("loss_D", "loss_G_adv", "loss_vgg"):
        assert recorder.losses[-1][name] == pytest.approx(float(archive[f"final_epoch_{name}"]), abs=1e-4)

    true_zero = names("train_step_zero_grad_names.json")
    for kind, prefix, zero in (
        ("generator", "ggrad.", true_zero["generator"]),
        ("critic", "dgrad.", true_zero["discriminator"]),
    ):
        expected = {name: g for name, g in tensors(archive, prefix).items() if name not in zero}
        assert expected
        for name, gradient in expected.items():
            tolerance = 0.01 * gradient.abs().max()
            assert (recorder.gradients[kind][name] - gradient).abs().max() <= tolerance, name

    for kind, prefix in (("generator", "g1."), ("critic", "d1.")):
        for name, weight in tensors(archive, prefix).items():
            difference = (recorder.weights[kind][name] - weight).abs()
            assert difference.max() <= 5e-4, name
            assert (difference <= 1e-6).float().mean() >= 0.995, name

"""ARAS400k's training: files in, generator, images and a package out; wrong input is a sentence."""

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("lightning", reason="lightning is not installed (extra: train)")
Image = pytest.importorskip("PIL.Image", reason="pillow is not installed (extra: train)")

from engine.errors import InputError  # noqa: E402
from engine.models.checkpoint_import import import_checkpoint  # noqa: E402
from engine.networks.aras400k import generator_from_tensors, to_uint8  # noqa: E402
from training.datasets.aras400k import CLASS_COLORS, Aras400kPairs  # noqa: E402
from training.losses.aras400k import VGGFeatures  # noqa: E402

TINY = [
    "network.width=2",
    "network.hidden=4",
    "data.batch_size=2",
    "data.workers=0",
    "trainer.accelerator=cpu",
]


def write_pairs(folder, count=3, size=256):
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(count):
        labels = rng.integers(0, 7, (8, 8)).repeat(size // 8, 0).repeat(size // 8, 1)
        arrays = {
            "images": rng.integers(0, 256, (size, size, 3), dtype=np.uint8),
            "masks": CLASS_COLORS[labels],
        }
        for kind, array in arrays.items():
            Image.fromarray(array).save(folder / kind / f"patch_{number}.png")
    return folder


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """Random weights in torchvision's layout, with layers that the loss does not use."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.manual_seed(0)
    state = {f"features.{name}": tensor for name, tensor in VGGFeatures().state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


def train(*overrides):
    command = [sys.executable, "-m", "training.cli", "experiment=aras400k", *TINY, *overrides]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_train_then_import_then_run(tmp_path, vgg, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    data, run = write_pairs(tmp_path / "train"), tmp_path / "run"
    done = train(f"data.folder={data}", f"task.vgg_weights={vgg}", f"output={run}", "trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(path.name for path in (run / "generated").iterdir()) == Aras400kPairs(data).names

    from safetensors.torch import load_file

    generator = generator_from_tensors(load_file(run / "generator.safetensors"), "generator")
    _, mask = Aras400kPairs(data)[1]
    with torch.inference_mode():
        expected = to_uint8(generator(mask[None]))[0].movedim(0, -1).numpy()
    written = np.array(Image.open(run / "generated" / "patch_1.png")).astype(int)
    # Another batch size may round a value to its neighbour.
    assert np.abs(written - expected).max() <= 1

    item = import_checkpoint("aras400k", run / "generator.safetensors", "mine")
    assert item.total_parameters == sum(p.numel() for p in generator.parameters())


def test_what_is_missing_is_said(tmp_path):
    """Through the command line once: Hydra must not turn the sentence into a stack."""
    done = train(f"output={tmp_path / 'run'}", "trainer.max_epochs=1")
    assert done.returncode == 1
    assert "task.vgg_weights=PATH" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    with pytest.raises(InputError, match=r"no VGG-19 weights at gone.pth"):
        VGGFeatures.load("gone.pth")
    with pytest.raises(InputError, match=r"data.folder=PATH"):
        Aras400kPairs(None)
    with pytest.raises(InputError, match=r"no pairs in"):
        Aras400kPairs(tmp_path)


def test_pairs_that_do_not_fit(tmp_path):
    data = write_pairs(tmp_path / "train", count=2, size=64)
    Image.new("RGB", (32, 64)).save(data / "masks" / "patch_0.png")
    with pytest.raises(InputError, match="differ in size"):
        Aras400kPairs(data)[0]
    (data / "masks" / "patch_1.png").write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be read"):
        Aras400kPairs(data)[1]
    (data / "masks" / "patch_1.png").unlink()
    with pytest.raises(InputError, match=r"patch_1.png .* has no mask"):
        Aras400kPairs(data)


def test_vgg_weights_that_do_not_fit(tmp_path, vgg):
    state = torch.load(vgg, weights_only=True)
    for change, match in (
        ({"features.5.weight": torch.zeros(1)}, r"features.5.weight has the shape \[1\]"),
        ({"features.14.bias": None}, r"features.14.bias is missing"),
    ):
        changed = {name: tensor for name, tensor in {**state, **change}.items() if tensor is not None}
        torch.save(changed, tmp_path / "vgg.pth")
        with pytest.raises(InputError, match=match):
            VGGFeatures.load(tmp_path / "vgg.pth")
    (tmp_path / "vgg.pth").write_bytes(vgg.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read"):
        VGGFeatures.load(tmp_path / "vgg.pth")


def test_vgg_is_frozen_and_its_gradient_reaches_the_image(vgg):
    features = VGGFeatures.load(vgg)
    assert not any(parameter.requires_grad for parameter in features.parameters())
    image = torch.zeros(1, 3, 32, 32, requires_grad=True)
    features(image).sum().backward()
    assert image.grad.abs().sum() > 0

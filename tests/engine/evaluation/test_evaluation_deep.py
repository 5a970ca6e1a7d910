"""Scores through networks: given as files, never executed, recognised by their tensors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from evaluation_rasters import compare, field, pair

torch = pytest.importorskip("torch", reason="torch is not installed (extra: evaluate)")
pytest.importorskip("torchmetrics", reason="torchmetrics is not installed (extra: evaluate)")

from engine.errors import InputError, ModelError  # noqa: E402
from engine.evaluation import backbones  # noqa: E402
from engine.evaluation.deep import DeepScores  # noqa: E402
from engine.evaluation.perceptual import Dists, Lpips, lpips_weights  # noqa: E402


@pytest.fixture(autouse=True)
def few_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield
    torch.set_num_threads(before)


def published(name):
    """A state dict as the published file has it, with random weights."""
    tensors = backbones.BACKBONES[name].make().state_dict()
    further = {f"{prefix}0.weight": torch.zeros(2, 2) for prefix in backbones.BACKBONES[name].unused}
    return {**tensors, **(further if name != "inception" else {})}


def save(tmp_path, name):
    torch.save(published(name), tmp_path / f"{name}.pth")
    return tmp_path / f"{name}.pth"


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_a_file_is_recognised(tmp_path, name):
    path = save(tmp_path, name)
    found, network = backbones.load(path)
    assert found == name
    images = torch.rand(1, 3, 64, 64)
    assert len(list(network(images))) == 5


def test_safetensors_too(tmp_path):
    save_file = pytest.importorskip("safetensors.torch", reason="safetensors is not installed").save_file
    save_file(published("alexnet"), tmp_path / "a.safetensors")
    assert backbones.load(tmp_path / "a.safetensors")[0] == "alexnet"


def test_a_missing_tensor_is_named(tmp_path):
    tensors = published("alexnet")
    del tensors["features.3.bias"]
    torch.save(tensors, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"missing: features\.3\.bias"):
        backbones.load(tmp_path / "a.pth")


def test_other_files_are_refused(tmp_path):
    torch.save({"x.weight": torch.zeros(2)}, tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"no network.*resnet50-0676ba61"):
        backbones.load(tmp_path / "x.pth")
    torch.save({"state": {"step": 3}}, tmp_path / "y.pth")
    with pytest.raises(InputError, match="state dict"):
        backbones.load(tmp_path / "y.pth")


class Surprise:
    def __reduce__(self):
        return print, ("executed",)


def test_a_pickle_with_code_is_refused_unread(tmp_path, capsys):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Surprise()))
    with pytest.raises(InputError, match="no plain tensors"):
        backbones.load(tmp_path / "evil.pth")
    torch.save({"features.10.weight": Surprise()}, tmp_path / "evil2.pth")
    with pytest.raises(InputError, match="no plain tensors"):
        backbones.load(tmp_path / "evil2.pth")
    (tmp_path / "cut.pth").write_bytes(save(tmp_path, "alexnet").read_bytes()[:5000])
    with pytest.raises(InputError, match="no plain tensors"):
        backbones.load(tmp_path / "cut.pth")
    assert "executed" not in capsys.readouterr().out


def test_equal_images_are_no_distance_apart():
    image, other = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    for name in ("alexnet", "vgg16"):
        lpips = Lpips(backbones.BACKBONES[name].make(), lpips_weights(name))
        assert lpips.distance(image, image).abs().max() < 1e-6
        assert (lpips.distance(image, other) > 0).all()
        assert lpips.distance(image, other) == pytest.approx(lpips.distance(other, image))
    dists = Dists(backbones.BACKBONES["vgg16"].make())
    assert dists.distance(image, image).abs().max() < 1e-5
    assert (dists.distance(image, other) > 1e-3).all()
    assert np.isnan(lpips.diversity(image[:1]))


class Means(torch.nn.Module):
    """Stands for Inception: cheap features, and class scores of them."""

    def forward(self, images):
        return images.float().reshape(len(images), -1)[:, :64] / 255

    def logits(self, features):
        return features[:, :10]


def test_sets_of_tiles_through_an_embedding():
    rng = np.random.default_rng(1)
    near, far = DeepScores({"inception": Means()}, 1), DeepScores({"inception": Means()}, 1)
    for _ in range(12):
        truth = rng.random((3, 32, 32)) * 0.5
        near.update(truth, [rng.random((3, 32, 32)) * 0.5])
        far.update(truth, [rng.random((3, 32, 32)) * 0.5 + 0.4])
    one, other = near.scores(0), far.scores(0)
    assert one["fid"] < other["fid"]
    assert one["kid"] < other["kid"]
    assert one["inception_score"] >= 1
    assert near.scores(0) == one  # drawn subsets are the same again


def test_weights_add_scores_to_a_report(tmp_path):
    paths = pair(tmp_path, field(1), field(2))
    report = compare(*paths, weights=(str(save(tmp_path, "alexnet")),), tile_px=64)
    assert report.results[0].scores["lpips"] > 0
    assert not any(line.startswith("LPIPS:") for line in report.missing)
    assert any(line.startswith("FID, KID, IS") for line in report.missing)
    with pytest.raises(InputError, match="give one"):
        compare(*paths, weights=(str(tmp_path / "alexnet.pth"),) * 2)


def test_embeddings_of_tiles():
    rng = np.random.default_rng(1)
    deep = DeepScores({"resnet50": Means()}, 2)
    for _ in range(8):
        truth = rng.random((3, 32, 32)) * 0.5
        deep.update(truth, [truth, rng.random((3, 32, 32)) * 0.5 + 0.4])
    same, far = deep.scores(0), deep.scores(1)
    assert (same["embedded_nn_accuracy"], far["embedded_nn_accuracy"]) == (0, 1)
    assert (same["embedded_f_score"], far["embedded_f_score"]) == (1, 0)


def test_inception_has_the_published_size():
    network = backbones.BACKBONES["inception"].make().eval()
    assert (
        sum(tensor.numel() for tensor in network.parameters()) == 23_834_568 + 8 * 2049
    )  # torchvision's, and 8 further classes
    with torch.no_grad():
        features = network(torch.zeros(1, 3, 40, 50, dtype=torch.uint8))
    assert features.shape == (1, 2048)
    assert network.logits(features).shape == (1, 1008)

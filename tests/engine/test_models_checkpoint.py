"""ARAS400k's published generator becomes a package that runs; no file can run code or be loaded in part."""

import os
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion or train)")

from engine.errors import CancelledError, MissingPackageError, ModelError  # noqa: E402
from engine.models import store  # noqa: E402
from engine.models.checkpoint_import import import_checkpoint  # noqa: E402
from engine.models.verify import verify  # noqa: E402
from engine.networks.aras400k import SpadeGenerator, to_uint8  # noqa: E402
from engine.translators import torch_networks  # noqa: E402

PUBLISHED_NAME = "trained_generator_single_set_2.pth"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return store.user_folder()


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return SpadeGenerator(width=2, hidden=4).eval()


@pytest.fixture
def checkpoint(generator, tmp_path):
    path = tmp_path / PUBLISHED_NAME
    torch.save(generator.state_dict(), path)
    return path


def one_hot_map(seed=0, size=256):
    labels = np.random.default_rng(seed).integers(0, 7, (8, 8)).repeat(size // 8, 0).repeat(size // 8, 1)
    return np.eye(7, dtype=np.float32)[labels].transpose(2, 0, 1)[None]


def refused(path, home, match):
    with pytest.raises(ModelError, match=match) as caught:
        import_checkpoint("aras400k", path, "aras")
    assert "\n" not in str(caught.value)
    assert not home.exists() or list(home.iterdir()) == []


@pytest.mark.parametrize("legacy", [False, True])
def test_import_and_run(generator, tmp_path, legacy):
    path = tmp_path / PUBLISHED_NAME
    torch.save(generator.state_dict(), path, _use_new_zipfile_serialization=not legacy)
    item = import_checkpoint("aras400k", path, "aras")
    assert verify(item.folder).notes == ()
    assert sorted(p.name for p in item.folder.iterdir()) == ["item.json", "model.safetensors"]
    assert (item.network, item.noise) == ("aras400k-spade", None)
    tiling = item.tiling
    assert (tiling.mode, tiling.window_px, tiling.stride_px, tiling.fixed_window) == (
        "lattice",
        256,
        192,
        True,
    )
    assert [entry.name for entry in item.mask.classes][0::6] == ["Tree", "Water"]

    mask = one_hot_map()
    found = torch_networks.open(item, "cpu", 1).translate({"mask": mask})
    with torch.inference_mode():
        expected = to_uint8(generator(torch.from_numpy(mask)))
    np.testing.assert_array_equal(found, expected.numpy())
    assert found.dtype == np.float32
    assert len(np.unique(found)) > 10


def test_safetensors_form(generator, tmp_path):
    from safetensors.torch import save_file

    save_file(generator.state_dict(), tmp_path / "g.safetensors")
    assert import_checkpoint("aras400k", tmp_path / "g.safetensors", "aras").id == "aras"


def test_half_precision_weights_are_widened(generator, tmp_path):
    path = tmp_path / "half.pth"
    torch.save({name: tensor.half() for name, tensor in generator.state_dict().items()}, path)
    item = import_checkpoint("aras400k", path, "aras")
    network = torch_networks.load_network(item)
    assert {p.dtype for p in network.parameters()} == {torch.float32}


class RunsCode:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


def test_pickle_with_code_is_not_executed(tmp_path, home):
    witness = tmp_path / "executed"
    torch.save({"fc.weight": RunsCode(witness)}, tmp_path / "evil.pth")
    refused(tmp_path / "evil.pth", home, "could run code")
    assert not witness.exists()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_cut_off_file(checkpoint, home, share):
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[: int(share * len(data))])
    refused(checkpoint, home, "download it again")


@pytest.mark.parametrize("name", ["noise.pth", "noise.safetensors"])
def test_file_of_noise(tmp_path, home, name):
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    refused(path, home, "download it again|run code")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s.pop("up_1.conv_s.weight"), "missing: up_1.conv_s.weight"),
        (lambda s: s.update(extra=torch.zeros(1)), "unexpected: extra"),
        (
            lambda s: s.update({"conv_img.bias": torch.zeros(4)}),
            r"conv_img.bias has \[4\] float32 where \[3\]",
        ),
        (lambda s: s.update({"fc.bias": torch.zeros(32, dtype=torch.int64)}), "fc.bias has .* int64"),
        (lambda s: s.pop("fc.weight"), "the tensor fc.weight is missing"),
        (lambda s: s.update({"fc.weight": torch.zeros(33, 7, 3, 3)}), "multiple of 16"),
        (lambda s: s.update(epoch=3), "holds int under 'epoch'"),
        (lambda s: s.clear(), "where named tensors were expected"),
    ],
)
def test_wrong_tensors_are_named(generator, tmp_path, home, change, match):
    state = dict(generator.state_dict())
    change(state)
    torch.save(state, tmp_path / "g.pth")
    refused(tmp_path / "g.pth", home, match)


def test_other_class_number(tmp_path, home):
    torch.save(SpadeGenerator(classes=5, width=1, hidden=2).state_dict(), tmp_path / "g.pth")
    refused(tmp_path / "g.pth", home, "takes 5 classes and ARAS400k has 7")


def test_unknown_family_and_missing_file(tmp_path, home):
    with pytest.raises(ModelError, match="known are aras400k"):
        import_checkpoint("magic", tmp_path / "g.pth", "aras")
    refused(tmp_path / "gone.pth", home, "no weights file")


def test_damaged_package_is_named_by_verify(checkpoint):
    item = import_checkpoint("aras400k", checkpoint, "aras")
    item.weights_path.write_bytes(item.weights_path.read_bytes()[:-4])
    with pytest.raises(ModelError, match="damaged"):
        verify(item.folder)
    with pytest.raises(ModelError, match="cannot be read"):
        torch_networks.open(item)


def test_without_torch_one_sentence_says_what_to_install(checkpoint, monkeypatch):
    item = import_checkpoint("aras400k", checkpoint, "aras")
    for name in ("torch", "safetensors", "safetensors.torch"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=r"pip install 'eo-translate\[diffusion\]'"):
        torch_networks.open(item)
    with pytest.raises(MissingPackageError, match=r"pip install 'eo-translate\[diffusion\]'"):
        import_checkpoint("aras400k", checkpoint, "second")
    (note,) = verify(item.folder).notes
    assert "not compared" in note


def test_terminate_ends_a_running_translation(checkpoint):
    translator = torch_networks.open(import_checkpoint("aras400k", checkpoint, "aras"), "cpu", 1)
    module = translator._network.up_2
    module.register_forward_pre_hook(lambda *_: translator.terminate())
    with pytest.raises(CancelledError):
        translator.translate({"mask": one_hot_map()})

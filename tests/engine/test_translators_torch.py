"""The torch translator: batches, precisions, profiles and memory, on the CPU."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion or train)")

from engine.errors import InputError, ModelError, OutOfMemoryError  # noqa: E402
from engine.models import store  # noqa: E402
from engine.models.checkpoint_import import import_checkpoint  # noqa: E402
from engine.models.describe import describe  # noqa: E402
from engine.models.item import ModelItem  # noqa: E402
from engine.models.verify import verify  # noqa: E402
from engine.networks.aras400k import SpadeGenerator  # noqa: E402
from engine.translators import torch_networks  # noqa: E402
from engine.translators.base import close_warm, warm_translator  # noqa: E402
from engine.translators.batching import measured_batch  # noqa: E402


@pytest.fixture(scope="module")
def item(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder / "home"))
        torch.manual_seed(0)
        path = folder / "trained_generator_single_set_2.pth"
        torch.save(SpadeGenerator(width=2, hidden=4).eval().state_dict(), path)
        assert str(folder) in str(store.user_folder())
        return import_checkpoint("aras400k", path, "aras")


def masks(count):
    labels = np.random.default_rng(1).integers(0, 7, (count, 8, 8)).repeat(32, 1).repeat(32, 2)
    return {"mask": np.eye(7, dtype=np.float32)[labels].transpose(0, 3, 1, 2)}


def with_precisions(item, tmp_path, *precisions):
    folder = tmp_path / "aras"
    folder.mkdir()
    for path in item.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    document = json.loads((folder / "item.json").read_text())
    document["properties"]["eo_translate:precisions"] = list(precisions)
    (folder / "item.json").write_text(json.dumps(document))
    return ModelItem.load(folder)


def test_every_count_of_windows_up_to_the_batch_gives_the_same_bits(item):
    translator = torch_networks.open(item, "cpu", 1)
    assert translator.batch == 1
    translator.batch = 4
    whole = translator.translate(masks(4))
    assert (whole.shape, whole.dtype) == ((4, 3, 256, 256), np.float32)
    for count in (1, 3):
        part = translator.translate({"mask": masks(4)["mask"][:count]})
        np.testing.assert_array_equal(part, whole[:count])
    assert [translator.shrink(), translator.shrink(), translator.shrink()] == [True, True, False]
    assert translator.batch == 1


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
    ],
    ids=str,
)
def test_too_little_memory(item, error):
    translator = torch_networks.open(item, "cpu", 1)

    def fail(*_):
        raise error

    handle = translator._network.up_1.register_forward_pre_hook(fail)
    with pytest.raises(OutOfMemoryError, match="too little memory for the model aras"):
        translator.translate(masks(1))
    assert measured_batch(item, translator, lambda: 1 << 40) == 1
    handle.remove()
    assert translator.translate(masks(1)).shape == (1, 3, 256, 256)


def test_memory_that_really_runs_out(item):
    translator = torch_networks.open(item, "cpu", 1)

    def hog(*_):
        torch.empty(1 << 50, dtype=torch.uint8)

    translator._network.up_1.register_forward_pre_hook(hog)
    with pytest.raises(OutOfMemoryError):
        translator.translate(masks(1))


def test_another_failure_is_not_hidden(item):
    translator = torch_networks.open(item, "cpu", 1)

    def fail(*_):
        raise RuntimeError("a fault of ours")

    translator._network.up_1.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        translator.translate(masks(1))


def test_precisions_that_the_model_allows(item, tmp_path):
    with pytest.raises(InputError, match="may be run in float32, and bfloat16 was asked for"):
        warm_translator(item, "cpu", 1, "bfloat16")
    half = with_precisions(item, tmp_path, "float32", "bfloat16")
    assert verify(half.folder).notes == ()
    assert dict(describe(half))["precision"] == "may be run in float32, bfloat16"
    exact = torch_networks.open(half, "cpu", 1).translate(masks(1))
    try:
        coarse = warm_translator(half, "cpu", 1, "bfloat16").translate(masks(1))
    finally:
        close_warm()
    difference = np.abs(exact - coarse)
    assert 0 < difference.mean() < 5
    with pytest.raises(InputError, match="may be run in float32 or bfloat16, and float16 was asked for"):
        warm_translator(half, "cpu", 1, "float16")


def test_a_profile_holds_while_windows_run_and_not_after(item, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # without CUDA nothing is set
    seen = []

    def look(*_):
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        seen.append(
            (
                torch.are_deterministic_algorithms_enabled(),
                cudnn.benchmark,
                cudnn.allow_tf32,
                matmul.allow_tf32,
            )
        )

    results = []
    look()
    for profile in ("deterministic", "fast"):
        translator = torch_networks.open(item, "cpu", 1, profile=profile)
        translator._network.up_0.register_forward_pre_hook(look)
        results.append(translator.translate(masks(1)))
    look()
    before, deterministic, fast, after = seen
    assert deterministic == (True, False, False, False)
    assert fast == (False, True, True, True)
    assert after == before
    np.testing.assert_allclose(results[0], results[1], atol=1)


def test_weights_that_fit_no_network(item, tmp_path):
    broken = with_precisions(item, tmp_path, "float32")
    broken.weights_path.write_bytes(broken.weights_path.read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot be read"):
        torch_networks.open(broken, "cpu", 1)

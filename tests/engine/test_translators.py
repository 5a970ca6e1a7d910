"""Batches, profiles, buffers and memory of the translators, on the CPU; nothing here needs a GPU."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tiny_models import FIXED, package

from engine.errors import DeviceError, InputError, ModelError, OutOfMemoryError
from engine.models import store
from engine.models.describe import describe
from engine.models.item import ModelItem
from engine.models.onnx_graph import open_session
from engine.translators import feed_forward
from engine.translators.base import close_warm, warm_translator
from engine.translators.batching import fitting_batch, measured_batch, padded
from engine.translators.bound import Bound
from engine.translators.cuda_memory import free_bytes

CHANNELS = {"sar": 4, "dem": 2, "noise": 2}
ROOT = Path(__file__).parents[2]


def windows(count, height=48, width=48, seed=0, channels=CHANNELS):
    random = np.random.default_rng(seed)
    return {
        name: random.standard_normal((count, c, height, width), dtype=np.float32)
        for name, c in channels.items()
    }


def free_batch_axis(folder, size="batch"):
    """Lets the graph take any batch, or exactly ``size`` windows."""
    path = Path(folder) / "model.onnx"
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        axis = value.type.tensor_type.shape.dim[0]
        axis.Clear()
        if isinstance(size, int):
            axis.dim_value = size
        else:
            axis.dim_param = size
    onnx.save(model, path)
    return ModelItem.load(folder)


def edited(folder, **properties):
    path = Path(folder) / "item.json"
    document = json.loads(path.read_text())
    document["properties"] |= {f"eo_translate:{key}": value for key, value in properties.items()}
    path.write_text(json.dumps(document))
    return ModelItem.load(folder)


@pytest.fixture(scope="module")
def any_batch(tmp_path_factory):
    return free_batch_axis(package(tmp_path_factory.mktemp("any")))


def test_padding_repeats_the_last_window():
    array = np.arange(2 * 3, dtype=np.float32).reshape(2, 1, 1, 3)
    found = padded(array, 4)
    np.testing.assert_array_equal(found[:, 0, 0, 0], [0, 3, 3, 3])
    assert padded(array, 2) is array


def test_every_count_of_windows_up_to_the_batch_gives_the_same_bits(any_batch):
    translator = feed_forward.open(any_batch, "cpu", 1)
    translator.resize(4)
    tensors = windows(4)
    whole = translator.translate(tensors)
    assert whole.shape == (4, 3, 48, 48)
    assert whole.dtype == np.float32
    for count in (1, 2, 3):
        part = translator.translate({name: array[:count] for name, array in tensors.items()})
        np.testing.assert_array_equal(part, whole[:count])


def test_the_batch_of_a_cpu_is_one_and_halving_ends_there(any_batch):
    translator = feed_forward.open(any_batch, "cpu", 1)
    assert translator.batch == 1
    translator.resize(4)
    assert [translator.shrink(), translator.batch] == [True, 2]
    assert [translator.shrink(), translator.batch] == [True, 1]
    assert [translator.shrink(), translator.batch] == [False, 1]
    assert translator.translate(windows(1)).shape == (1, 3, 48, 48)


def test_a_graph_of_fixed_batch_always_gets_it(tmp_path):
    translator = feed_forward.open(free_batch_axis(package(tmp_path), 3), "cpu", 1)
    assert translator.batch == 3
    assert not translator.shrink()
    found = translator.translate(windows(1))
    np.testing.assert_array_equal(
        found,
        translator.translate({name: array.repeat(3, axis=0) for name, array in windows(1).items()})[:1],
    )


@pytest.mark.parametrize(
    ("window", "taken", "free", "batch"),
    [
        (1136, 600 << 20, 24 << 30, 4),  # enough pixels for any GPU
        (1136, 600 << 20, 2 << 30, 2),  # memory for 2.4
        (1136, 600 << 20, 1 << 20, 1),  # never less than one
        (256, 30 << 20, 24 << 30, 64),
        (8192, 600 << 20, 80 << 30, 1),
        (64, 0, 1 << 30, 64),
    ],
)
def test_batch_by_free_memory(window, taken, free, batch):
    assert fitting_batch(window, taken, free) == batch


def test_batch_is_measured_with_one_window(tmp_path):
    item = free_batch_axis(package(tmp_path, tiling=FIXED))
    translator = feed_forward.open(item, "cpu", 1)
    answers = iter([1000 << 20, 900 << 20])
    assert measured_batch(item, translator, lambda: next(answers)) == 4  # 700 MiB usable, 100 a window
    assert next(answers, None) is None


def broken(error):
    class Session:
        def run(self, *_):
            raise error

    return Session()


MEMORY_ERRORS = [
    RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc"),
    RuntimeError("BFCArena: Failed to allocate memory for requested buffer of size 123"),
    RuntimeError("CUDA failure 2: out of memory ; GPU=0"),
    MemoryError(),
]


@pytest.mark.parametrize("error", MEMORY_ERRORS, ids=str)
def test_too_little_memory_is_said_in_one_sentence(any_batch, error):
    translator = feed_forward.open(any_batch, "cpu", 1)
    translator._session = broken(error)
    with pytest.raises(OutOfMemoryError, match=r"too little memory .* 64 x 48 pixels") as caught:
        translator.translate(windows(1, 48, 64))
    assert isinstance(caught.value, DeviceError)
    assert caught.value.code == "device"
    assert "\n" not in str(caught.value)
    assert measured_batch(any_batch, translator, lambda: 1 << 40) == 1


def test_another_failure_is_no_lack_of_memory(any_batch):
    translator = feed_forward.open(any_batch, "cpu", 1)
    translator._session = broken(RuntimeError("Non-zero status code"))
    with pytest.raises(ModelError, match="Non-zero status code"):
        translator.translate(windows(1))


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
def test_memory_that_really_runs_out(any_batch):
    code = f"""
import resource, numpy as np
from engine.errors import OutOfMemoryError
from engine.models.item import ModelItem
from engine.translators import feed_forward
translator = feed_forward.open(ModelItem.load({str(any_batch.folder)!r}), "cpu", 1)
tensors = {{name: np.zeros((1, c, 2048, 2048), np.float32) for name, c in {CHANNELS!r}.items()}}
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (300 << 20),) * 2)
try:
    translator.translate(tensors)
except OutOfMemoryError as error:
    print("said:", error)
small = {{name: array[..., :64, :64] for name, array in tensors.items()}}
print(translator.translate(small).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "too little memory for the model tiny on a window of 2048 x 2048 pixels" in done.stdout
    assert "(1, 3, 64, 64)" in done.stdout


def bound_and_plain(item):
    session = open_session(item.weights_path, 1)
    bound = Bound(session, item.output.tensor, "cpu")
    return feed_forward.FeedForward(item, session, bound), feed_forward.FeedForward(item, session)


def test_bound_buffers_give_the_bits_of_a_plain_run(any_batch):
    bound, plain = bound_and_plain(any_batch)
    sizes = [(48, 48), (64, 48), (48, 64), (32, 32), (40, 40), (48, 48), (64, 48)]  # more than are kept
    found = [bound.translate(windows(1, *size, seed=i)) for i, size in enumerate(sizes)]
    for i, size in enumerate(sizes):  # after all of them: no result lies in a buffer that was used again
        np.testing.assert_array_equal(found[i], plain.translate(windows(1, *size, seed=i)))


def test_bound_buffers_follow_the_batch(any_batch):
    bound, plain = bound_and_plain(any_batch)
    for translator in (bound, plain):
        translator.resize(4)
    np.testing.assert_array_equal(bound.translate(windows(3)), plain.translate(windows(3)))
    bound.shrink()
    plain.shrink()
    np.testing.assert_array_equal(bound.translate(windows(2)), plain.translate(windows(2)))


def test_bound_buffers_serve_several_threads(any_batch):
    bound, plain = bound_and_plain(any_batch)
    found = {}

    def work(start):
        for seed in range(start, start + 8):
            found[seed] = bound.translate(windows(1, seed=seed))

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 8, 16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(24))
    for seed, result in found.items():
        np.testing.assert_array_equal(result, plain.translate(windows(1, seed=seed)))


@pytest.mark.parametrize("kind", ["UINT8", "FLOAT16"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_bound_buffers_keep_the_graphs_dtype_and_layout(tmp_path, kind, layout):
    item = ModelItem.load(_doubling(tmp_path, getattr(TensorProto, kind), layout))
    bound, plain = bound_and_plain(item)
    tensors = {"x": np.arange(3 * 6 * 4, dtype=np.float32).reshape(1, 3, 6, 4)}
    found = bound.translate(tensors)
    np.testing.assert_array_equal(found, tensors["x"].repeat(2, axis=2).repeat(2, axis=3))
    np.testing.assert_array_equal(found, plain.translate(tensors))
    assert found.dtype == np.float32


def _doubling(parent, dtype, layout):
    """A graph that makes pixels half as wide, in its own dtype and axis order."""
    entry = {
        "modality": "optical",
        "tensor": "x",
        "required": True,
        "encoding": "continuous",
        "bands": [{"name": name} for name in ("B4", "B3", "B2")],
        "units": "DN",
        "normalisation": {"kind": "linear"},
        "validity_planes": False,
        "layout": layout,
    }
    output = {"dtype": "uint8", "range": [0, 255], "scale": 1.0, "nodata": None}
    folder = package(parent, inputs=[entry], noise=(), factor=2, layout=layout, **output)
    last = layout == "NHWC"
    scales = helper.make_tensor("s", TensorProto.FLOAT, [4], [1, 2, 2, 1] if last else [1, 1, 2, 2])
    axes = [1, "h", "w", 3] if last else [1, 3, "h", "w"]
    doubled = [axis if axis in (1, 3) else axis + "2" for axis in axes]
    # onnxruntime enlarges neither of these dtypes itself.
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["f", "", "s"], ["r"], mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric"),
        helper.make_node("Cast", ["r"], ["optical"], to=dtype),
    ]  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "double", [value("x", dtype, axes)], [value("optical", dtype, doubled)], [scales]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, str(Path(folder) / "model.onnx"))
    return folder


def test_a_cancel_reaches_every_running_window(any_batch):
    translator = feed_forward.open(any_batch, "cpu", 1)
    seen = [onnxruntime.RunOptions(), onnxruntime.RunOptions()]
    translator._running.update(seen)
    translator.terminate()
    assert [options.terminate for options in seen] == [True, True]


@pytest.mark.parametrize("name", ["sar-to-optical", "mask-to-image"])
def test_bundled_models_give_the_same_bits_with_any_number_of_threads(name):
    item = store.find(name)
    channels = {entry.tensor: entry.channels for entry in item.inputs} | {
        item.noise.tensor: len(item.noise.cells_px)
    }
    tensors = windows(1, 328, 264, channels=channels)
    results = [feed_forward.open(item, "cpu", threads).translate(tensors) for threads in (1, 2, 4)]
    assert len(np.unique(results[0])) > 1000
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_profile_has_a_translator_of_its_own(any_batch):
    try:
        first = warm_translator(any_batch, "cpu", 1, "float32")
        assert warm_translator(any_batch, "cpu", 1, "float32", "deterministic") is first
        fast = warm_translator(any_batch, "cpu", 1, "float32", "fast")
        assert fast is not first
        np.testing.assert_allclose(fast.translate(windows(1)), _fresh(any_batch), atol=1e-5)
    finally:
        close_warm()


def _fresh(item):
    return feed_forward.open(item, "cpu", 1).translate(windows(1))


def test_what_cuda_is_asked_for():
    (deterministic,) = feed_forward._cuda_choices("deterministic")
    fast, without_graphs = feed_forward._cuda_choices("fast")
    assert deterministic[0][1]["use_tf32"] == "0"
    assert deterministic[0][1]["cudnn_conv_algo_search"] == "HEURISTIC"
    assert "enable_cuda_graph" not in deterministic[0][1] | without_graphs[0][1]
    assert fast[0][1]["enable_cuda_graph"] == "1"
    assert [name for name, _ in fast] == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_precisions_of_a_model(tmp_path):
    folder = package(tmp_path)
    assert ModelItem.load(folder).precisions == ("float32",)
    assert "precision" not in dict(describe(ModelItem.load(folder)))
    with pytest.raises(ModelError, match="eo_translate:precisions names float16; an ONNX graph runs in"):
        edited(folder, precisions=["float32", "float16"])
    with pytest.raises(ModelError, match="begin with float32 and name each precision once"):
        edited(folder, precisions=["float16"])
    with pytest.raises(ModelError, match="'float32', 'float16' or 'bfloat16'"):
        edited(folder, precisions=["float32", "int8"])


def test_a_graph_runs_in_its_own_precision_alone(any_batch):
    with pytest.raises(InputError, match=r"precision it was exported in.*leave precision at float32\."):
        warm_translator(any_batch, "cpu", 1, "float16")


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is a CUDA driver")
def test_a_machine_without_a_driver_says_so():
    with pytest.raises(DeviceError, match=r"The CUDA driver .* is not installed; run on the CPU\."):
        free_bytes()


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="there is CUDA")
def test_the_gpu_benchmark_says_that_there_is_no_gpu():
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "gpu.py")],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert "no CUDA" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_too_little_memory_to_load_is_no_fault_of_the_package(any_batch, monkeypatch):
    def failing(*_, **__):
        raise RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc")

    monkeypatch.setattr(feed_forward.onnxruntime, "InferenceSession", failing)
    with pytest.raises(OutOfMemoryError, match="too little memory to load the model"):
        feed_forward.open(any_batch, "cpu")

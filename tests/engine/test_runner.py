"""The pipeline: bounded, in order, and sparing where memory is short."""

import threading
import time

import numpy as np
import pytest
import tiny_models
from rasters import run, sar_values, write

from engine import job as engine_job
from engine.errors import CancelledError, InputError, ModelError, OutOfMemoryError
from engine.inputs import Inputs
from engine.pipeline import Pipeline
from engine.spec import Job
from engine.translators import base


def test_stages_keep_order_and_never_run_far_ahead():
    made = []

    def source():
        for number in range(50):
            made.append(number)
            yield number

    with Pipeline() as pipeline:
        for position, item in enumerate(pipeline.stage(pipeline.stage(source(), 2), 2)):
            assert item == position
            assert len(made) <= position + 2 * (2 + 1) + 2
            time.sleep(0.001)
    assert made == list(range(50))


def test_an_error_of_any_stage_comes_out_and_ends_the_others():
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    def failing(items):
        for number, item in enumerate(items):
            if number == 5:
                raise InputError("The fifth is bad.")
            yield item

    with pytest.raises(InputError, match="fifth"), Pipeline() as pipeline:
        for _ in pipeline.stage(failing(pipeline.stage(endless(), 1)), 1):
            pass
    assert closed.is_set()


def test_leaving_early_ends_the_threads():
    before = threading.active_count()
    with Pipeline() as pipeline:
        for item in pipeline.stage(iter(range(10**9)), 1):
            if item == 3:
                break
    assert threading.active_count() == before


class Short:
    """A translator on a device that holds windows of at most so many pixels a side, or so many at once."""

    def __init__(self, inner, side, batch):
        self._inner, self._side, self.batch, self.sizes = inner, side, batch, []

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def translate(self, tensors):
        count, _, *size = next(iter(tensors.values())).shape
        if max(size) > self._side or count > self.limit:
            raise OutOfMemoryError("The device has too little memory.")
        self.sizes.append((count, *size))
        return np.concatenate(
            [self._inner.translate({n: t[i : i + 1] for n, t in tensors.items()}) for i in range(count)]
        )

    def shrink(self):
        self.batch //= 2
        return self.batch >= 1


@pytest.fixture
def short_of_memory(monkeypatch):
    made = []

    def install(side, batch=1, limit=1):
        opened = base.warm_translator

        def opening(*arguments):
            made.append(Short(opened(*arguments), side, batch))
            made[-1].limit = limit
            return made[-1]

        monkeypatch.setattr("engine.runner.warm_translator", opening)
        return made

    return install


def test_windows_are_halved_when_the_device_is_short_of_memory(tmp_path, short_of_memory):
    model = tiny_models.package(tmp_path)
    sar = write(tmp_path / "sar.tif", sar_values(300, 500))
    whole, _, _ = run(tmp_path / "whole.tif", model, inputs={"sar": sar})
    made, said = short_of_memory(tiny_models.CROP["window_px"] // 2), []
    halved, _, result = run(
        tmp_path / "halved.tif", model, log=lambda level, text: said.append(text), inputs={"sar": sar}
    )
    np.testing.assert_array_equal(halved, whole)
    assert made[0].sizes
    assert sum("ran out of memory on a window" in note for note in result.notes) >= 1
    assert len(result.notes) <= 4, "said once a size, not once a window"


def test_fewer_windows_at_once_when_the_device_is_short_of_memory(tmp_path, short_of_memory):
    model = tiny_models.package(tmp_path, tiling=tiny_models.LATTICE, norm=True)
    sar = write(tmp_path / "sar.tif", sar_values(300, 500))
    whole, _, _ = run(tmp_path / "whole.tif", model, inputs={"sar": sar})
    made = short_of_memory(10**6, batch=8, limit=2)
    batched, _, result = run(tmp_path / "batched.tif", model, inputs={"sar": sar})
    np.testing.assert_array_equal(batched, whole)
    assert max(count for count, *_ in made[0].sizes) == 2
    assert any("going on with 2 windows at once" in note for note in result.notes)


def test_no_room_even_for_the_smallest_window_is_one_sentence(tmp_path, short_of_memory):
    model = tiny_models.package(tmp_path, tiling=tiny_models.LATTICE, norm=True)
    sar = write(tmp_path / "sar.tif", sar_values())
    short_of_memory(1)
    with pytest.raises(OutOfMemoryError, match="too little memory"):
        run(tmp_path / "out.tif", model, inputs={"sar": sar})
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out")) == []


def test_a_network_that_gives_another_shape_is_one_sentence(tmp_path, monkeypatch):
    model = tiny_models.package(tmp_path)
    sar = write(tmp_path / "sar.tif", sar_values())
    opened = base.warm_translator

    class Wrong:
        def __init__(self, inner):
            self._inner, self.batch = inner, 1

        def __getattr__(self, name):
            return getattr(self._inner, name)

        def translate(self, tensors):
            return self._inner.translate(tensors)[:, :1]

    monkeypatch.setattr("engine.runner.warm_translator", lambda *arguments: Wrong(opened(*arguments)))
    with pytest.raises(ModelError, match=r"gave 1 x .* its item.json does not fit its weights"):
        run(tmp_path / "out.tif", model, inputs={"sar": sar})


def test_a_stage_without_memory_is_one_sentence():
    def greedy():
        yield np.empty(2**50)

    with pytest.raises(OutOfMemoryError, match="too little memory"), Pipeline() as pipeline:
        next(pipeline.stage(greedy(), 1))


@pytest.mark.parametrize("way", ["cancelled", "failed"])
def test_inputs_are_closed_after_the_last_read(tmp_path, monkeypatch, way):
    """GDAL crashes when a dataset is closed while another thread reads it."""
    reading, closed_while_reading = [], []
    read, close = Inputs.read, Inputs.close

    def slow_read(self, box):
        reading.append(box)
        time.sleep(0.2)
        context = read(self, box)
        reading.pop()
        return context

    def watched_close(self):
        closed_while_reading.append(bool(reading))
        close(self)

    monkeypatch.setattr(Inputs, "read", slow_read)
    monkeypatch.setattr(Inputs, "close", watched_close)
    model = tiny_models.package(tmp_path)
    sar = write(tmp_path / "sar.tif", sar_values(600, 2100))
    asked = []

    def on_progress(fraction, text):
        asked.append(fraction)
        if way == "failed" and len(asked) == 4:
            raise InputError("The front end has gone.")

    job_ = Job(model=model, inputs={"sar": {"path": sar}}, output=str(tmp_path / "out.tif"), chunk_px=512)
    kept = None
    try:
        engine_job.run(job_, on_progress, lambda: way == "cancelled" and len(asked) >= 4)
    except (CancelledError, InputError) as error:
        kept = error  # its traceback holds the frames of the run, and what they refer to
    assert kept is not None
    assert closed_while_reading
    assert not any(closed_while_reading)

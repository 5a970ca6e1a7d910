"""Faults of the engine as a user of QGIS meets them: one sentence, and the finished parts are kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from plugin_rasters import speckle, write_geotiff
from qgis.core import QgsProcessingException, QgsProcessingFeedback

from eo_translate_plugin import engine_bridge, interrupted

SAR = "eo_translate:sartooptical"

pytestmark = [
    pytest.mark.usefixtures("provider"),
    pytest.mark.skipif(os.name != "posix", reason="signals and mounts of POSIX"),
]


@pytest.fixture(scope="module")
def three_parts(tmp_path_factory) -> str:
    """A scene of three parts."""
    return write_geotiff(
        tmp_path_factory.mktemp("three") / "sar.tif", speckle(2560, 1)[:, :64, :].transpose(0, 2, 1)
    )


def run(sar: str, output: Path, **parameters) -> dict:
    import processing

    given = {"SAR": sar, "DEVICE": "cpu", "OUTPUT": str(output), **parameters}
    return processing.run(SAR, given, feedback=QgsProcessingFeedback(False))


def refused(sar: str, output: Path, **parameters) -> str:
    """What the user reads."""
    with pytest.raises(QgsProcessingException) as caught:
        run(sar, output, **parameters)
    return str(caught.value)


def once_a_part_is_done(output: Path, action) -> None:
    def wait() -> None:
        while interrupted.find(str(output)) is None:
            time.sleep(0.005)
        action()

    threading.Thread(target=wait, daemon=True).start()


def pixels(path: Path) -> np.ndarray:
    return gdal.Open(str(path)).ReadAsArray()


@pytest.mark.parametrize("number", ["SIGSEGV", "SIGABRT"])
def test_a_native_crash_keeps_the_parts_and_the_next_run_goes_on(three_parts, tmp_path, number):
    output, whole = tmp_path / "o.tif", tmp_path / "whole.tif"
    run(three_parts, whole)
    once_a_part_is_done(output, lambda: os.kill(engine_bridge.engine_client().pid, getattr(signal, number)))
    text = refused(three_parts, output)
    assert number in text
    assert "of 3 parts are done and kept" in text
    assert "Traceback" not in text
    run(three_parts, output, RESUME="continue")
    assert np.array_equal(pixels(output), pixels(whole))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.tif", "whole.tif"]


def test_a_full_disk_is_said_and_a_larger_one_takes_the_rest(three_parts, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root on Linux can mount a small disk")
    run(three_parts, tmp_path / "whole.tif")
    room = (tmp_path / "whole.tif").stat().st_size * 6 // 10
    mount = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mount is not allowed here")
    try:
        text = refused(three_parts, disk / "o.tif")
        assert "disk is full" in text or "No space left" in text
        assert "make room" in text
        assert "of 3 parts" in text
        assert not (disk / "o.tif").exists()
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        run(three_parts, disk / "o.tif", RESUME="continue")
        assert np.array_equal(pixels(disk / "o.tif"), pixels(tmp_path / "whole.tif"))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)

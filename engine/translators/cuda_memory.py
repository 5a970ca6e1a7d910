"""Free memory of the CUDA device, asked of the driver: onnxruntime does not tell."""

from __future__ import annotations

import ctypes
import sys

from engine.errors import DeviceError

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def free_bytes(device: int = 0) -> int:
    """Memory of a device that nothing uses.

    Raises:
        DeviceError: There is no driver, or no such device.
    """
    context, handle = ctypes.c_void_p(), ctypes.c_int()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        raise DeviceError(f"The CUDA driver ({_DRIVER}) is not installed; run on the CPU.") from None
    # The primary context is the one in which onnxruntime and torch run, so none is made for the question.
    steps = (
        lambda: driver.cuInit(0),
        lambda: driver.cuDeviceGet(ctypes.byref(handle), device),
        lambda: driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), handle),
        lambda: driver.cuCtxPushCurrent_v2(context),
        lambda: driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)),
        lambda: driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p())),
        lambda: driver.cuDevicePrimaryCtxRelease_v2(handle),
    )
    for step in steps:
        if code := step():
            raise DeviceError(f"The CUDA driver answers with its error {code}; run on the CPU.")
    return free.value

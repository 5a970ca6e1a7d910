"""What is installed and what it can run on; used by the worker's ``hello`` and by ``eo-translate doctor``."""

from __future__ import annotations

import platform
from importlib import metadata

import engine

PACKAGES = ("numpy", "rasterio", "onnxruntime", "pydantic")


def versions() -> dict[str, str]:
    """Versions of the engine, Python and the packages that it runs on.

    Raises:
        ModuleNotFoundError: A required package is not installed (``PackageNotFoundError`` is one).
    """
    found = {"eo-translate": engine.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(_distribution(package))
        except metadata.PackageNotFoundError:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package) from None
    return found


def devices() -> list[str]:
    """Devices that a job may ask for here, besides ``auto``."""
    import onnxruntime

    return ["cpu", *(["cuda"] if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else [])]


def _distribution(package: str) -> str:
    if package != "onnxruntime":
        return package
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            metadata.version(name)
            return name
        except metadata.PackageNotFoundError:
            continue
    return package

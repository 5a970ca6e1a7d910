"""Packages that only some scores need."""

from __future__ import annotations

import importlib
from types import ModuleType

from engine.errors import MissingPackageError


def need(module: str) -> ModuleType:
    """Imports a package of the extra ``evaluate``.

    Raises:
        MissingPackageError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"These scores need the package {error.name}, which is not installed; install it with: pip "
            "install 'eo-translate[evaluate]'."
        ) from None

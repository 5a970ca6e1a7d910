"""Packages that only some scores need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import MissingPackageError


@contextmanager
def needed() -> Iterator[None]:
    """Around imports of packages of the extra ``evaluate``.

    Raises:
        MissingPackageError: One of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"These scores need the package {error.name}, which is not installed; install it with: pip "
            "install 'eo-translate[evaluate]'."
        ) from None

"""Files of named tensors, read without running anything that is in them."""

from __future__ import annotations

import pickle  # nosec B403 - for the class of its error only; files are read by torch with weights_only
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import MissingPackageError, ModelError

if TYPE_CHECKING:
    import torch

MAX_CHECKPOINT_BYTES = 64 * 2**30


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Named tensors of a ``.pth`` or ``.safetensors`` file; nothing in the file is executed.

    Raises:
        ModelError: No such file; cut off or damaged; holds anything else than named tensors.
        MissingPackageError: torch or safetensors is not installed.
    """
    if not path.is_file():
        raise ModelError(f"There is no weights file at {path}.")
    if not 0 < path.stat().st_size <= MAX_CHECKPOINT_BYTES:
        raise ModelError(
            f"The weights file {path} has {path.stat().st_size} bytes, which no checkpoint has; "
            "download it again."
        )
    _require_torch("Importing a checkpoint")
    import torch

    loaded = _read(path)
    if not isinstance(loaded, Mapping) or not loaded:
        raise ModelError(
            f"The weights file {path} holds {type(loaded).__name__} where named tensors were expected."
        )
    stray = next((key for key, value in loaded.items() if not isinstance(value, torch.Tensor)), None)
    if stray is not None:
        kind = type(loaded[stray]).__name__
        raise ModelError(
            f"The weights file {path} holds {kind} under {stray!r} where a tensor was expected; give "
            "the generator's state dict alone."
        )
    return {str(key): value for key, value in loaded.items()}


def read_package_tensors(path: Path, model: str) -> dict[str, torch.Tensor]:
    """Named tensors of a ``.safetensors`` file of the package ``model``, mapped and not copied.

    Raises:
        ModelError: The file is damaged or of another kind.
        MissingPackageError: torch or safetensors is not installed.
    """
    _require_torch(f"The model {model}")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"The weights {path} cannot be read ({error}); install the model again.") from None


def _require_torch(what: str) -> None:
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingPackageError(
            f"{what} needs torch and safetensors, which are not installed; "
            "run: pip install 'eo-translate[diffusion]'."
        ) from None


def _read(path: Path) -> Any:
    """What a weights file holds.

    Raises:
        ModelError: Cut off, damaged, or refused because opening it could run code.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError(
            f"The weights file {path} holds more than tensors and was refused unread, since opening it "
            "could run code; ask its author for a plain state dict or .safetensors."
        ) from None
    except (
        SafetensorError,
        zipfile.BadZipFile,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
    ) as error:
        reason = (
            str(error).split(".")[0][:200]
            if isinstance(error, (RuntimeError, OSError))
            else "no known format"
        )
        raise ModelError(
            f"The weights file {path} is cut off or damaged ({reason}); download it again."
        ) from None

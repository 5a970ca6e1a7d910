"""Files of named tensors, read without running anything that is in them."""

from __future__ import annotations

import pickle  # nosec B403 - for the class of its error only; files are read by torch with weights_only
import re
import warnings
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
    require_torch("Importing a checkpoint")

    loaded = _read(path)
    if not isinstance(loaded, Mapping) or not loaded:
        raise ModelError(
            f"The weights file {path} holds {type(loaded).__name__} where named tensors were expected."
        )
    for name, value in loaded.items():
        _check_plain(value, str(name), path)
    return {str(name): value for name, value in loaded.items()}


def read_package_tensors(path: Path, model: str) -> dict[str, torch.Tensor]:
    """Named tensors of a ``.safetensors`` file of the package ``model``, mapped and not copied.

    Raises:
        ModelError: The file is damaged or of another kind.
        MissingPackageError: torch or safetensors is not installed.
    """
    require_torch(f"The model {model}")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"The weights {path} cannot be read ({error}); install the model again.") from None


def require_torch(what: str) -> None:
    """Checks that torch and safetensors are installed.

    Args:
        what: What needs them, for the error message.

    Raises:
        MissingPackageError: They are not.
    """
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingPackageError(
            f"{what} needs torch and safetensors, which are not installed; "
            "run: pip install 'eo-translate[diffusion]'."
        ) from None


def _check_plain(value: Any, name: str, path: Path) -> None:
    import torch

    if not isinstance(value, torch.Tensor):
        raise ModelError(
            f"The weights file {path} holds {type(value).__name__} under {name[:80]!r} where a tensor was "
            "expected; give the state dict of the network alone."
        )
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        raise ModelError(
            f"The weights file {path} holds a sparse, quantized or empty tensor under {name[:80]!r}; a plain "
            "one was expected."
        )


def _read(path: Path) -> Any:
    """What a weights file holds.

    Raises:
        ModelError: Cut off, damaged, of another kind, or refused because opening it could run code.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        _check_container(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols; what cannot be read is an error anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" (it asks for {found[1][:80]})" if found else ""
        raise ModelError(
            f"The weights file {path} holds more than tensors{what} and was refused unread, since opening it "
            "could run code; ask its author for a plain state dict or .safetensors."
        ) from None
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes torch's readers fail in any way
        reason = str(error).split(".")[0][:200] or "no known format"
        raise ModelError(
            f"The weights file {path} is cut off or damaged ({reason}); download it again."
        ) from None


def _check_container(path: Path) -> None:
    """Refuses what is no PyTorch file, and archives that fail their own checksums, which torch does not read.

    Raises:
        ModelError: It is something else, cut off or damaged.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start[:2] == b"\x80\x02":  # the form before PyTorch 1.6: a bare pickle
        return
    if start != b"PK\x03\x04":
        raise ModelError(
            f"The weights file {path} is no PyTorch file: it begins with {start!r}, as if a web page had "
            "been saved in its place; download it again."
        )
    if not zipfile.is_zipfile(path):
        raise ModelError(f"The weights file {path} is cut off: its end is missing; download it again.")
    with zipfile.ZipFile(path) as archive:
        # PyTorch never packs; a packed file may grow to any size in memory.
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ModelError(
                f"The weights file {path} is a packed archive, which PyTorch does not write; unpack it, or "
                "get the file as its author published it."
            )
        if (damaged := archive.testzip()) is not None:
            raise ModelError(
                f"The weights file {path} is damaged: its part {damaged!r} does not match its checksum; "
                "download it again."
            )

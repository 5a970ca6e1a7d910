"""Compares named tensors with what a network expects before any of them is loaded."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from engine.errors import ModelError

_NAMED = 5


def check_tensors(
    tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], where: str, what: str
) -> None:
    """Refuses a state dict that is not exactly the expected one.

    Args:
        tensors: State dict of a file.
        expected: Shape of every tensor of the network.
        where: Name of the file for error messages.
        what: The network for error messages: ``the COP-GEN denoiser``.

    Raises:
        ModelError: A tensor is missing, unexpected, misshapen or not of floating point, and its name.
    """
    misfits = [
        f"{name} has {_described(tensors[name])} where {list(shape)} of floating point was expected"
        for name, shape in expected.items()
        if name in tensors
        and (tuple(tensors[name].shape) != tuple(shape) or not tensors[name].is_floating_point())
    ]
    problems = [
        f"{kind}: {_some(names)}"
        for kind, names in (
            ("missing", [name for name in expected if name not in tensors]),
            ("unexpected", [name for name in tensors if name not in expected]),
        )
        if names
    ] + misfits[:1]
    if problems:
        raise ModelError(f"The file {where} does not fit {what} ({'; '.join(problems)}); nothing was loaded.")


def _described(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {tensor.dtype}".replace("torch.", "")


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")

"""Takes in anybody's image-to-image ONNX file as a model package."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

import onnxruntime

from engine.errors import ModelError
from engine.models.build import write_item
from engine.models.deepness import read_deepness
from engine.models.item import ModelItem, clipped
from engine.models.locality import Geometry, Probe
from engine.models.onnx_graph import ImageGraph, TensorInfo, external_files, open_session, tensors
from engine.models.onnx_item import OnnxOptions, item_properties
from engine.models.store import find, new_package
from engine.models.verify import verify

MAX_MODEL_BYTES = 16 * 2**30
_MAX_TRIAL_VALUES = 2**28


def import_onnx(
    path: Path, name: str, options: OnnxOptions | None = None, replace: bool = False
) -> ModelItem:
    """Writes a package for an ONNX file into the user's models folder.

    Scale factor, window sizes and context are measured on the network itself.

    Args:
        path: The file; weights that it keeps in other files must lie in its folder or below.
        name: Name of the new package.
        options: What the file does not say of itself.
        replace: Whether an installed package of that name may be replaced.

    Raises:
        ModelError: The file cannot be used, and why.
        OutputError: The models folder cannot be written or is full.
    """
    options = options or OnnxOptions()
    extra = _check_files(path)
    session = open_session(path)
    metadata = read_deepness(_metadata(session, path), path)
    graph = _graph(session, path, options)
    geometry = _measured(graph, path, metadata.tile_px)
    properties = item_properties(path, name, graph, geometry, metadata, options)
    task = "super-resolution" if geometry.scale_factor > 1 else "regression"
    with new_package(name, replace) as folder:
        shutil.copyfile(path, folder / "model.onnx")
        for relative in extra:
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path.parent / relative, folder / relative)
        write_item(folder, name, "model.onnx", properties, task=task, extra_files=extra)
        verify(folder)
    return find(name)


def _check_files(path: Path) -> list[str]:
    """External data files of a graph, none of them outside its folder."""
    if not path.is_file():
        raise ModelError(f"There is no ONNX file at {path}.")
    extra = external_files(path)
    for name in extra:
        outside = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or "\\" in name
        target = path.parent / name
        if outside or not target.resolve().is_relative_to(path.parent.resolve()):
            raise ModelError(
                f"The ONNX file {path} keeps weights in {name}, outside its own folder; export it again "
                "with the data beside it."
            )
        if not target.is_file():
            raise ModelError(
                f"The ONNX file {path} keeps weights in {name}, which is not beside it; put both files "
                "in one folder."
            )
        if name in {"model.onnx", "item.json"}:
            raise ModelError(
                f"The ONNX file {path} keeps weights in a file named {name}, a name that the package "
                "needs; export it again."
            )
    total = sum(file.stat().st_size for file in (path, *(path.parent / name for name in extra)))
    if total > MAX_MODEL_BYTES:
        raise ModelError(
            f"The ONNX file {path} has {total / 2**30:.1f} GiB with its data; at most "
            f"{MAX_MODEL_BYTES // 2**30} GiB can be imported."
        )
    return extra


def _metadata(session: onnxruntime.InferenceSession, path: Path) -> dict[str, str]:
    found = session.get_modelmeta()
    try:
        found.graph_name.isprintable()  # decoded when it is asked for, which others do later
        return found.custom_metadata_map
    except UnicodeDecodeError:
        raise ModelError(f"The metadata of {path} are not UTF-8 text; export it again.") from None


def _measured(graph: ImageGraph, path: Path, preferred_px: int | None) -> Geometry:
    fixed_px = graph.fixed_px
    if graph.channels * (fixed_px or 256) ** 2 > _MAX_TRIAL_VALUES:
        raise ModelError(
            f"The network in {path} takes {graph.channels} channels of {fixed_px or 'any'} pixels a side, "
            "too many to try it out; export it with smaller windows."
        )
    low, high = (0.0, 255.0) if graph.input.dtype.startswith("uint") else (-2.0, 2.0)
    try:
        return Probe(graph.run, graph.channels, low, high).measure(fixed_px, preferred_px)
    except ModelError:
        raise
    except Exception as error:  # onnxruntime's exceptions share no base class but Exception
        raise ModelError(
            f"The network in {path} fails on a trial window ({clipped(error)}); export it again."
        ) from None


def _graph(session: onnxruntime.InferenceSession, path: Path, options: OnnxOptions) -> ImageGraph:
    inputs, outputs = tensors(session)
    for kind, found in (("input", inputs), ("output", outputs)):
        if len(found) != 1:
            have = ", ".join(str(tensor) for tensor in found) or "none"
            raise ModelError(
                f"The network in {path} has {len(found)} {kind}s ({have}); only networks with one image "
                f"{kind} can be imported."
            )
        if len(found[0].shape) != 4:
            raise ModelError(
                f"The network in {path} has the {kind} {found[0]}; an image has four dimensions (batch, "
                "channels, height, width)."
            )
        if found[0].dtype not in {"float32", "float16", "float64", "uint8", "uint16"}:
            raise ModelError(
                f"The network in {path} has the {kind} {found[0]}; its type must be float32, float16, "
                "float64, uint8 or uint16."
            )
    (image,), (result,) = inputs, outputs
    if image.shape[0] not in (None, 1):
        raise ModelError(
            f"The network in {path} takes batches of {image.shape[0]}; export it with a batch of 1 or any."
        )
    layout, channels = _layout(image, path, options)
    return ImageGraph(session, image, result, layout, channels)


def _layout(image: TensorInfo, path: Path, options: OnnxOptions) -> tuple[Literal["NCHW", "NHWC"], int]:
    named = len(options.classes or options.bands or ()) or None
    first, last = image.shape[1], image.shape[3]
    if options.layout is not None:
        layout = options.layout
    elif first is not None and last is not None:
        layout = "NHWC" if last < first and (named in (None, last)) else "NCHW"
    else:
        layout = "NHWC" if first is None and last is not None else "NCHW"
    channels = (first if layout == "NCHW" else last) or named
    if channels is None:
        raise ModelError(f"The network in {path} takes any number of channels; name its bands with --bands.")
    if named not in (None, channels):
        what = "classes" if options.classes else "bands"
        raise ModelError(
            f"The network in {path} takes {channels} channels and {named} {what} were named; name {channels}."
        )
    return layout, channels

"""``eo-translate models import``: what its options say, as an import of one kind."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import InputError

if TYPE_CHECKING:
    from engine.models.item import ModelItem
    from engine.models.joint_sources import Source

_JOINT = ("cop-gen-beta", "cop-gen")


def import_model(
    source: Annotated[
        list[str], typer.Argument(help="FILE.onnx NAME; with --family only NAME.", metavar="[FILE.onnx] NAME")
    ],
    family: Annotated[
        str | None, typer.Option(help="Published model family: aras400k, cop-gen-beta or cop-gen.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Published checkpoint, .pth or .safetensors; of a denoiser: nnet_ema.")
    ] = None,
    autoencoder: Annotated[
        Path | None, typer.Option(help="cop-gen-beta: file of its autoencoder, autoencoder_kl_ema.pth.")
    ] = None,
    autoencoders: Annotated[
        Path | None, typer.Option(help="cop-gen: folder that holds the ten folders of its autoencoders.")
    ] = None,
    heads: Annotated[
        int | None, typer.Option(help="Attention heads, where the size is not a published one.", min=1)
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option(
            help="Repository of the denoiser on a hub, in place of --weights.", metavar="OWNER/NAME[:FILE]"
        ),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Commit, tag or branch of --hub.")] = None,
    hub_autoencoder: Annotated[
        str | None,
        typer.Option(help="Repository of the autoencoders, in place of a path.", metavar="OWNER/NAME[:FILE]"),
    ] = None,
    autoencoder_revision: Annotated[
        str | None, typer.Option(help="Commit, tag or branch of --hub-autoencoder.")
    ] = None,
    modality: Annotated[
        str | None, typer.Option(help="Of the input: sar, dem, optical ... [optical]")
    ] = None,
    bands: Annotated[str | None, typer.Option(help="Input bands in the network's order, as VV,VH.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="Class names, where the input is a one-hot class mask.")
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Units of the input values; dB for SAR in decibels.")
    ] = None,
    normalisation: Annotated[str | None, typer.Option(help="linear, constant or scene.")] = None,
    scale: Annotated[float | None, typer.Option(help="linear: x * scale + offset.")] = None,
    offset: Annotated[float | None, typer.Option(help="linear: x * scale + offset.")] = None,
    mean: Annotated[str | None, typer.Option(help="constant: (x - mean) / std, one number a band.")] = None,
    std: Annotated[str | None, typer.Option(help="constant: (x - mean) / std, one number a band.")] = None,
    clip: Annotated[str | None, typer.Option(help="Interval after normalisation, as -1,1.")] = None,
    layout: Annotated[str | None, typer.Option(help="NCHW or NHWC, where the shape does not tell.")] = None,
    output_modality: Annotated[str, typer.Option(help="Of the result.")] = "optical",
    output_bands: Annotated[str | None, typer.Option(help="Bands of the result, as B04,B03,B02.")] = None,
    output_range: Annotated[
        str | None, typer.Option(help="Interval of the network's output, as 0,1.")
    ] = None,
    output_dtype: Annotated[
        str | None, typer.Option(help="Stored as uint8, uint16, int16 or float32.")
    ] = None,
    output_units: Annotated[str | None, typer.Option(help="Units of the result.")] = None,
    gsd: Annotated[
        float | None, typer.Option(help="Ground sample distance in metres that it was made for.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(help="Side of the windows in pixels, where it takes several.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title to show.")] = None,
    license_: Annotated[str | None, typer.Option("--license", help="SPDX name, or other.")] = None,
    citation: Annotated[str | None, typer.Option(help="How to cite the model.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an installed model of the same name.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Take in an image-to-image ONNX file (any, Deepness metadata are read), or a published checkpoint."""
    from engine.cli_tables import print_installed

    published = {
        "--weights": weights,
        "--autoencoder": autoencoder,
        "--autoencoders": autoencoders,
        "--heads": heads,
        "--hub": hub,
        "--revision": revision,
        "--hub-autoencoder": hub_autoencoder,
        "--autoencoder-revision": autoencoder_revision,
    }
    if family is not None:
        words = {"title": title, "license": license_, "eo_translate:citation": citation}
        print_installed(_import_family(family, published, words, source, replace), as_json)
        return
    if stray := next((option for option, value in published.items() if value is not None), None):
        raise InputError(f"{stray} goes with --family; for an ONNX file give: models import FILE.onnx NAME.")
    if len(source) != 2:
        raise InputError("Give the ONNX file and the model's new name: models import FILE.onnx NAME.")
    from engine.models.onnx_import import import_onnx
    from engine.models.onnx_item import OnnxOptions

    options = _options(
        OnnxOptions,
        modality=modality,
        bands=_words(bands),
        classes=_words(classes),
        units=units,
        normalisation=normalisation,
        scale=scale,
        offset=offset,
        mean=_numbers("--mean", mean),
        std=_numbers("--std", std),
        clip=_numbers("--clip", clip),
        layout=layout,
        output_modality=output_modality,
        output_bands=_words(output_bands),
        output_range=_numbers("--output-range", output_range),
        output_dtype=output_dtype,
        output_units=output_units,
        gsd_m=gsd,
        window_px=window,
        title=title,
        license=license_ or "other",
        citation=citation or "",
    )
    path, name = source
    print_installed(import_onnx(Path(path), name, options, replace), as_json)


def _import_family(
    family: str,
    published: dict[str, Any],
    words: dict[str, str | None],
    source: list[str],
    replace: bool,
) -> ModelItem:
    from engine.models.checkpoint_import import FAMILIES, import_checkpoint

    if family not in (known := (*FAMILIES, *_JOINT)):
        raise InputError(f"There is no model family {family!r} to import; known are {', '.join(known)}.")
    if len(source) != 1:
        raise InputError(
            "Give the model's new name alone: models import --family FAMILY --weights FILE NAME."
        )
    if family in FAMILIES:
        _refuse(published, family, allowed=("--weights",))
        if published["--weights"] is None:
            raise InputError(f"Give the checkpoint: models import --family {family} --weights FILE NAME.")
        return import_checkpoint(family, published["--weights"], source[0], replace)
    place = "--autoencoder" if family == "cop-gen-beta" else "--autoencoders"
    other = {"--autoencoder", "--autoencoders"} - {place}
    _refuse(published, family, allowed=published.keys() - other)
    from engine.models.joint_import import import_joint

    return import_joint(
        family,
        _one_source(published, "--weights", "--hub", "--revision"),
        _one_source(published, place, "--hub-autoencoder", "--autoencoder-revision"),
        source[0],
        published["--heads"],
        replace,
        {field: text for field, text in words.items() if text is not None},
    )


def _refuse(published: dict[str, Any], family: str, allowed: Collection[str]) -> None:
    for option, value in published.items():
        if value is not None and option not in allowed:
            raise InputError(f"{option} does not go with --family {family}; leave it out.")


def _one_source(published: dict[str, Any], path: str, hub: str, revision: str) -> Source:
    """A file or folder here, or files of a hub; the names are those of the three options.

    Raises:
        InputError: Neither or both are given, or a revision is missing or belongs to nothing.
    """
    from engine.models.joint_sources import HubSource

    if (published[path] is None) == (published[hub] is None):
        raise InputError(f"Give either {path} or {hub}.")
    if (published[hub] is None) != (published[revision] is None):
        raise InputError(
            f"{hub} and {revision} go together: a download is taken at one commit, tag or branch, which is "
            "recorded."
        )
    if published[path] is not None:
        return published[path]
    repository, _, file = published[hub].partition(":")
    return HubSource(repository, published[revision], file or None)


def _options(kind: type, **fields: Any) -> Any:
    from pydantic import ValidationError

    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = "--" + str(first["loc"][0]).replace("_", "-").removesuffix("-m").removesuffix("-px")
        raise InputError(
            f"The option {option} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."
        ) from None


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise InputError(
            f"The option {option} is {text!r}; it must be numbers with commas between them."
        ) from None

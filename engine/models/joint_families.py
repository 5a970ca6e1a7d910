"""What is known of the published joint diffusion models, and which of them a denoiser's tensors are."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from engine.errors import ModelError
from engine.models.joint_schema import Group, Sampler

if TYPE_CHECKING:
    from torch import Tensor

Family = Literal["cop-gen-beta", "cop-gen"]

# The sampling program of COP-GEN-Beta knows these sets, by their number.
BETA_MODALITIES = {
    2: ("s1_rtc", "s2_l2a"),
    3: ("dem", "s1_rtc", "s2_l1c"),
    4: ("dem", "s1_rtc", "s2_l1c", "s2_l2a"),
}
_REDUCTION = 8  # pixels of an image to a cell of its latent, along one side


@dataclass(frozen=True)
class Published:
    """Words and file names of a published model.

    Attributes:
        title, description, license, limits, citation: Fields of its package.
        architecture: MLM's architecture.
        weights: The denoiser's file as its authors named it.
    """

    title: str
    description: str
    license: str
    limits: str
    citation: str
    architecture: str
    weights: str


PUBLISHED: dict[Family, Published] = {
    "cop-gen-beta": Published(
        title="COP-GEN-Beta: any of hillshade, Sentinel-1 and Sentinel-2 pictures from any others",
        description=(
            "Latent diffusion over 8-bit pictures of 2.56 km x 2.56 km: hillshade of the DEM, false-colour "
            "Sentinel-1 RTC, true-colour Sentinel-2 L1C and L2A. Each can be given or generated."
        ),
        license="other",
        limits=(
            "Results are display values, not measurements: dem is a hillshade and no elevation, s1_rtc is "
            "stretched over the scene and no backscatter, s2_l1c and s2_l2a are gamma-stretched and no "
            "reflectance. No licence of the weights was found, and the authors' code has none, so all "
            "rights are reserved: ask the authors before publishing results or passing the weights on."
        ),
        citation="COP-GEN-Beta, arXiv:2504.08548 (CVPR Workshops 2025)",
        architecture="U-ViT latent diffusion (COP-GEN-Beta)",
        weights="nnet_ema_114000.pth",
    ),
    "cop-gen": Published(
        title="COP-GEN: any of DEM, land cover, Sentinel-1, Sentinel-2, place and date from any others",
        description=(
            "Latent diffusion over 1.92 km x 1.92 km in physical units: DEM (m), land cover (classes), "
            "Sentinel-1 RTC (backscatter), Sentinel-2 L1C and L2A (reflectance, all bands), cloud mask, "
            "position and date. Each can be given or generated."
        ),
        license="CC-BY-4.0",
        limits=(
            "Results are samples of what is plausible, not measurements. Heights not above 0 m are lost; "
            "Sentinel-2 numbers must be free of the +1000 offset of processing baseline 04.00; land cover "
            "codes are those of Esri's annual maps. The published weights are CC BY 4.0: name their authors "
            "(see the citation) when you share them or what they made."
        ),
        citation=(
            "COP-GEN, arXiv:2603.03239; published weights: mespinosami/copgen-base and "
            "mespinosami/copgen-vaes on huggingface.co, CC BY 4.0"
        ),
        architecture="U-ViT latent diffusion (COP-GEN)",
        weights="500000_nnet_ema.pth",
    ),
}


def autoencoder_files(family: Family) -> dict[str, str]:
    """Asset key -> the authors' path of each autoencoder of a published model."""
    if family == "cop-gen-beta":
        return {"autoencoder": "autoencoder_kl_ema.pth"}
    from engine.modalities.published import published_groups
    from engine.networks.cop_gen_published import COP_GEN

    folders = {group.name: group.autoencoder for group in COP_GEN}
    return {
        group.latent.autoencoder: f"{folders[group.name]}/model-50-ema.pth"
        for group in published_groups(family)
        if group.latent.autoencoder
    }


def recognise(
    family: Family, tensors: Mapping[str, Tensor], where: str, heads: int | None = None
) -> tuple[tuple[Group, ...], Sampler]:
    """Groups and sampler of a denoiser, in the order of its weights.

    Args:
        family: What the tensors are said to be.
        tensors: State dict of the denoiser.
        where: Name of the file for error messages.
        heads: Attention heads, where the size is not a published one.

    Raises:
        ModelError: The tensors are of another model, in an order that cannot be told, or ``heads`` is needed.
    """
    from engine.modalities.published import published_groups, published_sampler

    embeddings = _embeddings(tensors, where)
    groups, sampler = published_groups(family), published_sampler(family)
    if family == "cop-gen":
        from engine.networks.cop_gen_published import check_order

        _check_count(family, len(embeddings), (len(groups),), where)
        check_order(tensors, where)
    else:
        _check_count(family, len(embeddings), tuple(BETA_MODALITIES), where)
        groups, sampler = _resized(groups, sampler, tensors, embeddings, where)
    width = tensors["pos_embed"].shape[2]
    return groups, sampler.model_copy(update={"heads": heads or _published_heads(width, where)})


def _embeddings(tensors: Mapping[str, Tensor], where: str) -> list[tuple[int, ...]]:
    """Shapes of the patch embeddings, in order."""
    found = {
        int(match[1]): tuple(tensor.shape)
        for name, tensor in tensors.items()
        if (match := re.fullmatch(r"patch_embeds\.(\d{1,3})\.proj\.weight", name))
    }
    position = tensors.get("pos_embed")
    if not found or sorted(found) != list(range(len(found))) or position is None or position.ndim != 3:
        raise ModelError(
            f"The file {where} is not a COP-GEN denoiser: pos_embed or patch_embeds.0.proj.weight and those "
            "after it are missing; give the file of the denoiser (nnet_ema) as --weights."
        )
    return [found[i] for i in range(len(found))]


def _check_count(family: Family, found: int, allowed: tuple[int, ...], where: str) -> None:
    if found in allowed:
        return
    other = {12: "cop-gen", 4: "cop-gen-beta"}.get(found)
    hint = f"; with --family {other} it may fit" if other else ""
    counts = " or ".join(map(str, allowed))
    raise ModelError(f"The file {where} has {found} modalities and {family} has {counts}{hint}.")


def _published_heads(width: int, where: str) -> int:
    from engine.networks.cop_gen_published import HEADS

    if width not in HEADS:
        raise ModelError(
            f"The file {where} has tokens of {width} numbers, which no published size has, and attention "
            "heads cannot be read from weights; say how many with --heads."
        )
    return HEADS[width]


def _resized(
    groups: tuple[Group, ...],
    sampler: Sampler,
    tensors: Mapping[str, Tensor],
    embeddings: list[tuple[int, ...]],
    where: str,
) -> tuple[tuple[Group, ...], Sampler]:
    """The modalities of COP-GEN-Beta that a network has, with equal latents whose side pos_embed tells.

    Raises:
        ModelError: The shapes are not those of equal square latents.
    """
    count, first, tokens = len(embeddings), embeddings[0], tensors["pos_embed"].shape[1]
    squares, odd = divmod(tokens - count, count)
    if len(set(embeddings)) > 1 or len(first) != 4 or odd or math.isqrt(max(squares, 0)) ** 2 != squares:
        raise ModelError(
            f"The file {where} is not COP-GEN-Beta: {tokens} tokens of {count} modalities are not as many "
            "equal squares, or their patch embeddings differ."
        )
    _, channels, _, patch = first
    side = math.isqrt(squares) * patch
    shape = {"channels": channels, "height": side, "width": side, "patch": patch}
    stride = _REDUCTION * max(1, round(side * sampler.stride_px / sampler.window_px))
    return (
        tuple(
            group.model_copy(update={"latent": group.latent.model_copy(update=shape)})
            for group in groups
            if group.name in BETA_MODALITIES[count]
        ),
        sampler.model_copy(update={"window_px": _REDUCTION * side, "stride_px": stride}),
    )

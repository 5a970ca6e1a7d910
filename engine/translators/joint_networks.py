"""The networks of a ``joint-diffusion`` package: the denoiser and each group's autoencoder, on the CPU."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.errors import ModelError
from engine.models.item import ModelItem
from engine.models.joint_schema import Group
from engine.models.tensor_files import read_package_tensors

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

    from engine.networks.cop_gen import CopGen, LatentGroup
    from engine.networks.kl_autoencoder import LatentCodec
    from engine.networks.small_decoder import SmallDecoder

_COLOUR_THUMBNAILS = ("sentinel2-thumbnail", "sentinel1-thumbnail", "hillshade-thumbnail")


@dataclass(frozen=True)
class Networks:
    """What a joint diffusion model is run with, in float32 and evaluation mode.

    Attributes:
        denoiser: None where it was not asked for.
        codecs: By group name, of the groups asked for; a group whose values are its latent has none. Groups
            that share an asset share one autoencoder, each with its own small decoder where it names one.
    """

    denoiser: CopGen | None
    codecs: dict[str, LatentCodec] = field(default_factory=dict)


def load_networks(item: ModelItem, groups: Collection[str] | None = None, denoiser: bool = True) -> Networks:
    """Reads a package's networks, every tensor or none; the files are mapped, so memory fills as they run.

    Args:
        item: A package of the family ``joint-diffusion``; its files' hashes are checked by the caller.
        groups: Names of the groups whose autoencoders are wanted; None: all.
        denoiser: Whether the denoiser is wanted.

    Raises:
        MissingPackageError: torch, safetensors or diffusers is not installed.
        ModelError: A file is damaged; a tensor is missing, unexpected or misshapen; or an autoencoder or
            decoder is not for the images and latents that the item describes.
    """
    wanted = [group for group in item.groups if groups is None or group.name in groups]
    autoencoders: dict[str, AutoencoderKL] = {}
    codecs = {group.name: _codec(item, group, autoencoders) for group in wanted if group.latent.autoencoder}
    return Networks(load_denoiser(item) if denoiser else None, codecs)


def load_denoiser(item: ModelItem) -> CopGen:
    """The denoiser of a package.

    Raises:
        MissingPackageError: torch or safetensors is not installed.
        ModelError: The file is damaged, or its tensors are not those of the item's groups.
    """
    tensors = read_package_tensors(item.weights_path, item.id)
    from engine.networks.cop_gen_weights import cop_gen_from_tensors

    groups = latent_groups(item.groups)
    return cop_gen_from_tensors(tensors, groups, item.sampler.heads, str(item.weights_path))


def latent_groups(groups: Iterable[Group]) -> list[LatentGroup]:
    """The groups as the denoiser sees them."""
    from engine.networks.cop_gen import LatentGroup

    latents = [(group.name, group.latent) for group in groups]
    return [LatentGroup(name, la.channels, la.height, la.width, la.patch) for name, la in latents]


def image_channels(group: Group) -> int:
    """Channels of a group's image in the model's range, as its encoding makes them."""
    if group.encoding.kind == "classes":
        return len(group.encoding.classes)
    return 3 if group.encoding.kind in _COLOUR_THUMBNAILS else len(group.bands)


def check_autoencoder(group: Group, autoencoder: AutoencoderKL, image_px: int, where: str) -> None:
    """Refuses an autoencoder that does not turn the group's images into the group's latents.

    Args:
        group: The group.
        autoencoder: Its autoencoder.
        image_px: Side of the group's image in one window.
        where: Name of the autoencoder's file for error messages.

    Raises:
        ModelError: Channels or the reduction in size differ.
    """
    config, latent = autoencoder.config, group.latent
    factor = 2 ** (len(config.block_out_channels) - 1)
    found = (config.in_channels, config.latent_channels, image_px / factor)
    expected = (image_channels(group), latent.channels, latent.height)
    if found != expected:
        raise ModelError(
            f"The autoencoder {where} does not fit the group {group.name}: it makes latents of {found[1]} "
            f"channels and {found[2]:g} cells a side from images of {found[0]} bands and {image_px} pixels, "
            f"and {expected[1]} channels and {expected[2]} cells from {expected[0]} bands are described."
        )


def _codec(item: ModelItem, group: Group, autoencoders: dict[str, AutoencoderKL]) -> LatentCodec:
    """The group's codec; autoencoders are added to the dictionary by asset, once each."""
    key = group.latent.autoencoder
    path = item.asset(key)
    if key not in autoencoders:
        tensors = read_package_tensors(path, item.id)
        from engine.networks.kl_autoencoder import autoencoder_from_tensors

        autoencoders[key] = autoencoder_from_tensors(tensors, str(path))
    image_px = item.sampler.window_px // group.pixel
    check_autoencoder(group, autoencoders[key], image_px, str(path))
    from engine.networks.kl_autoencoder import LatentCodec

    decoder = _small_decoder(item, group, image_px) if group.latent.decoder else None
    return LatentCodec(autoencoders[key], group.latent.scale, decoder)


def _small_decoder(item: ModelItem, group: Group, image_px: int) -> SmallDecoder:
    path, latent = item.asset(group.latent.decoder), group.latent
    tensors = read_package_tensors(path, item.id)
    from engine.networks.small_decoder import small_decoder_from_tensors

    decoder = small_decoder_from_tensors(tensors, str(path))
    if latent.decoder_halo is not None and decoder.halo > latent.decoder_halo:
        raise ModelError(
            f"The decoder {path} depends on {decoder.halo} cells around each cell and the item says "
            f"{latent.decoder_halo} (decoder_halo); parts of a scene would not fit together."
        )
    found = (decoder.enter[0].in_channels, decoder.leave.out_channels, decoder.factor)
    expected = (latent.channels, image_channels(group), image_px / latent.height)
    if found != expected:
        raise ModelError(
            f"The decoder {path} does not fit the group {group.name}: it turns {found[0]} channels into "
            f"{found[1]} bands {found[2]} times finer, and {expected[0]} into {expected[1]} bands "
            f"{expected[2]:g} times finer are described."
        )
    return decoder

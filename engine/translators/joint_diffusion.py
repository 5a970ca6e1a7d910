"""Joint diffusion (COP-GEN-Beta, COP-GEN and their like) on a device: batches of windows in, batches out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import CancelledError, DeviceError, InputError, ModelError, OutOfMemoryError
from engine.joint_settings import JointSettings
from engine.models.item import ModelItem
from engine.networks.kl_autoencoder import LatentCodec
from engine.samplers.any_to_any import JointDenoiser
from engine.samplers.keyed_noise import KeyedNoise
from engine.samplers.prediction import schedule_of
from engine.samplers.staged import Stage, run_stage
from engine.translators.batching import is_out_of_memory
from engine.translators.joint_networks import load_networks
from engine.translators.torch_networks import arithmetic

Array = NDArray[np.float32]
# Batches are always full, as the last bits may depend on their size, so they are not larger than it takes to
# keep the device busy: the last one of a job is filled up with copies.
_CPU_BATCH_NUMBERS = 1 << 20
_LARGEST_BATCH = {"cpu": 4, "cuda": 16}
_IMAGES_AT_ONCE = {"cpu": 1, "cuda": 4}
_CUDA_ROW_BYTES = 40  # of activations, for each number of a token


@dataclass(frozen=True)
class Rows:
    """A batch: one draw of one window each.

    Attributes:
        samples: Number of the draw, from 0.
        corners: Group -> world row and column of the latent's corner (cells), for each row.
        conditions: Group -> (B, 2 C, h, w) moments of a given image, or (B, C, h, w) values of a vector or of
            a group without autoencoder.
        clean: Group -> (B, C, h, w) that the stage before came to; None in the first stage.
    """

    samples: tuple[int, ...]
    corners: Mapping[str, list[tuple[int, int]]]
    conditions: Mapping[str, Array]
    clean: Mapping[str, Array] | None

    def __len__(self) -> int:
        return len(self.samples)

    def part(self, start: int, stop: int) -> Rows:
        """Some of the rows; beyond the end the last one is repeated."""
        index = np.minimum(np.arange(start, stop), len(self) - 1)
        return Rows(
            tuple(self.samples[i] for i in index),
            {name: [corners[i] for i in index] for name, corners in self.corners.items()},
            {name: values[index] for name, values in self.conditions.items()},
            None if self.clean is None else {name: values[index] for name, values in self.clean.items()},
        )


class JointTranslator:
    """The networks of a package on one device.

    Args:
        item: The package; its files' hashes are checked by the caller.
        device: ``cpu`` or ``cuda``.
        precision: Of the denoiser; the autoencoders run in float32.
        profile: See ``warm_translator``.

    Attributes:
        device: See ``Translator``.
        batch: Rows of the denoiser that are run at once.
    """

    def __init__(self, item: ModelItem, device: str, precision: str, profile: str) -> None:
        self.item, self.device, self._profile = item, device, profile
        network = load_networks(item, groups=()).denoiser
        self._network = self._ready(network.to(dtype=getattr(torch, precision)))
        if profile == "fast" and device == "cuda":
            self._network.compile(mode="max-autotune-no-cudagraphs")
        self._codecs: dict[str, LatentCodec] = {}
        self._groups = {group.name: group for group in item.groups}
        self.batch = _batch(network, device)
        self._images = _IMAGES_AT_ONCE[device]
        self._terminated = False

    def moments(self, group: str, images: Array) -> Array:
        """(B, C, H, W) in the model's range -> (B, 2 z, h, w): mean and log-variance of the latent, unscaled.

        A group without autoencoder is its own latent: (B, C, H, W) is given back.

        Raises:
            CancelledError, OutOfMemoryError: As of ``Translator.translate``.
        """
        if self._groups[group].latent.autoencoder is None:
            return images
        return self._in_batches(images, lambda part: self._codec(group).moments(part))

    def decode(self, group: str, latents: Array) -> Array:
        """(B, z, h, w) of the denoiser -> (B, C, H, W), about the model's range; raises as ``moments``."""
        if self._groups[group].latent.autoencoder is None:
            return latents
        return self._in_batches(latents, lambda part: self._codec(group).decode(part))

    def run(
        self,
        stage: Stage,
        rows: Rows,
        settings: JointSettings,
        seed: int,
        first_evaluation: int,
        on_evaluation: Callable[[], None],
    ) -> dict[str, Array]:
        """Carries rows through a stage of the sampling.

        Args:
            stage: Which.
            rows: Any number of them.
            settings: Of the job.
            seed: Keys all noise.
            first_evaluation: Evaluations in the stages before.
            on_evaluation: Called before each evaluation of a batch.

        Returns:
            Clean latents (B, C, h, w) of each wanted group.

        Raises:
            CancelledError, OutOfMemoryError: As of ``Translator.translate``.
            ModelError: The network gives values that are no finite numbers.
        """
        found: dict[str, list[Array]] = {}
        start = 0
        while start < len(rows):
            part = rows.part(start, start + self.batch)
            try:
                with self._running():
                    latents = self._stage(stage, part, settings, seed, first_evaluation, on_evaluation)
            except OutOfMemoryError:
                if not self.shrink():
                    raise
                continue
            self._check_finite(latents)
            for name, values in latents.items():
                found.setdefault(name, []).append(values.cpu().numpy()[: len(rows) - start])
            start += self.batch
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def shrink(self) -> bool:
        """See ``Translator.shrink``."""
        if self.batch == 1:
            return False
        self.batch //= 2
        if self.device == "cuda":
            torch.cuda.empty_cache()
        return True

    def terminate(self) -> None:
        """Stops at the next layer; may be called from any thread."""
        self._terminated = True

    def begin(self) -> None:
        """Forgets an earlier ``terminate``."""
        self._terminated = False

    def close(self) -> None:
        """Frees the networks' memory."""
        self._network.to("meta")
        self._codecs.clear()

    def _stage(
        self,
        stage: Stage,
        rows: Rows,
        settings: JointSettings,
        seed: int,
        first_evaluation: int,
        on_evaluation: Callable[[], None],
    ) -> dict[str, Tensor]:
        noise = KeyedNoise(self._network.groups, seed, rows.samples, rows.corners)
        conditions = {
            name: self._condition(name, torch.from_numpy(values), noise, settings.posterior)
            for name, values in rows.conditions.items()
        }
        denoiser = JointDenoiser(
            self._network,
            settings.generate,
            conditions,
            noise,
            settings.guidance,
            settings.published_ignored,
            self.item.sampler.prediction,
            on_evaluation,
        )
        denoiser.evaluations = first_evaluation
        clean = rows.clean and {name: torch.from_numpy(values) for name, values in rows.clean.items()}
        return run_stage(stage, denoiser, clean, schedule_of(self.item.sampler.prediction))

    def _check_finite(self, latents: Mapping[str, Tensor]) -> None:
        """Refuses what would end as an even grey that looks like an image."""
        for name, values in latents.items():
            if not bool(torch.isfinite(values).all()):
                kind = str(next(self._network.parameters()).dtype).removeprefix("torch.")
                advice = "its weights are damaged" if kind == "float32" else "set the precision to float32"
                raise ModelError(
                    f"The model {self.item.id} gave values for {name} that are no finite numbers in {kind}; "
                    f"{advice}."
                )

    def _condition(self, name: str, values: Tensor, noise: KeyedNoise, posterior: str) -> Tensor:
        latent = self._groups[name].latent
        if latent.autoencoder is None:
            return values
        mean, log_variance = values.chunk(2, dim=1)
        if posterior == "mean":
            return latent.scale * mean
        spread = torch.exp(0.5 * log_variance.clamp(-30.0, 20.0))
        return latent.scale * (mean + spread * noise("posterior", name))

    def _codec(self, group: str) -> LatentCodec:
        """The group's autoencoder, read when it is first needed; groups that share an asset share it."""
        if group not in self._codecs:
            key = self._groups[group].latent.autoencoder
            sharing = [name for name, g in self._groups.items() if g.latent.autoencoder == key]
            for name, codec in load_networks(self.item, sharing, denoiser=False).codecs.items():
                for network in codec.networks:
                    self._ready(network)
                self._codecs[name] = codec
        return self._codecs[group]

    def _in_batches(self, values: Array, evaluate: Callable[[Tensor], Tensor]) -> Array:
        found, start = [], 0
        while start < len(values):
            index = np.minimum(np.arange(start, start + self._images), len(values) - 1)
            try:
                with self._running():
                    part = evaluate(torch.from_numpy(np.ascontiguousarray(values[index])))
            except OutOfMemoryError:
                if self._images == 1:
                    raise
                self._images //= 2
                continue
            found.append(part.float().cpu().numpy()[: len(values) - start])
            start += self._images
        return np.concatenate(found)

    def _running(self) -> _Running:
        return _Running(self)

    def _ready(self, network: torch.nn.Module) -> torch.nn.Module:
        """On the device, and stopped by ``terminate``."""
        network.to(self.device).requires_grad_(False).eval()
        for module in network.modules():
            module.register_forward_pre_hook(self._stop_if_terminated)
        return network

    def _stop_if_terminated(self, *_: Any) -> None:
        if self._terminated:
            raise CancelledError("The run was cancelled.")


class _Running:
    """Torch's settings while a network runs, and its errors as ours."""

    def __init__(self, translator: JointTranslator) -> None:
        self._translator = translator
        self._settings = arithmetic(translator._profile)

    def __enter__(self) -> None:
        self._settings.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._settings.__exit__(None, None, None)
        if isinstance(error, RuntimeError | MemoryError) and is_out_of_memory(error):
            item, device = self._translator.item, self._translator.device
            raise OutOfMemoryError(
                f"The device {device} has too little memory for the model {item.id}; close other programs "
                "that use it, or run on the CPU."
            ) from None


def open(
    item: ModelItem, device: str, threads: int | None, precision: str, profile: str = "deterministic"
) -> JointTranslator:
    """Loads a package of the family ``joint-diffusion``; arguments as of ``warm_translator``.

    Raises:
        MissingPackageError: torch, safetensors or diffusers is not installed.
        ModelError: The weights do not fit the network.
        DeviceError: CUDA was asked for and does not work.
    """
    # cuBLAS gives the same bits from run to run only with a workspace of a fixed size, set before it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if threads:
        torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "The device cuda was asked for and torch finds none; run on the CPU, or install torch for CUDA."
        )
    chosen = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    if chosen == "cpu" and precision == "float16":
        raise InputError(
            "The precision float16 was asked for on a CPU, which has no fast arithmetic for it; set float32 "
            "or bfloat16."
        )
    return JointTranslator(item, chosen, precision, profile)


def _batch(network: torch.nn.Module, device: str) -> int:
    """Rows at once: a power of two that depends on the network, and on CUDA on the free memory."""
    numbers = network.pos_embed.shape[1] * network.width
    if device == "cpu":
        fitting = _CPU_BATCH_NUMBERS // numbers
    else:
        fitting = torch.cuda.mem_get_info()[0] // (2 * _CUDA_ROW_BYTES * numbers)
    return 1 << max(0, min(fitting, _LARGEST_BATCH[device]).bit_length() - 1)

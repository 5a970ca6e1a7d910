"""Trains ARAS400k's conditional generator as its authors did (arXiv:2603.09625)."""

from __future__ import annotations

from pathlib import Path

import lightning
import torch
from torch import Tensor

from engine.networks.aras400k import PatchCritic, SpadeGenerator, to_uint8
from training.losses.aras400k import VGGFeatures, VGGPerceptualLoss, critic_hinge, generator_hinge

WEIGHTS_NAME = "generator.safetensors"
IMAGES_NAME = "generated"


class Aras400kTask(lightning.LightningModule):
    """Hinge GAN with one VGG layer: the generator runs once a step, the critic is updated first.

    No schedule, no EMA, no clipping; default PyTorch initialisation. When training ends, the generator is
    written in the published form (its state dict alone, as safetensors) and run on every training mask.

    Args:
        network: The generator; the critic gets the same width.
        vgg_weights: torchvision's ImageNet VGG-19 weights, a local file.
        output: Folder for ``generator.safetensors`` and the folder ``generated``; None writes neither.
        learning_rate: Of both Adams.
        betas: Of both Adams.
        vgg_weight: Weight of the perceptual term.
    """

    def __init__(
        self,
        network: SpadeGenerator,
        vgg_weights: str | None,
        output: str | None = None,
        learning_rate: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        vgg_weight: float = 10.0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = network
        self.critic = PatchCritic(channels=network.classes + 3, width=network.width)
        self.perceptual = VGGPerceptualLoss(VGGFeatures.load(vgg_weights))
        self.output = output
        self.learning_rate, self.betas, self.vgg_weight = learning_rate, tuple(betas), vgg_weight

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the generator, Adam for the critic."""
        networks = (self.generator, self.critic)
        return [torch.optim.Adam(n.parameters(), lr=self.learning_rate, betas=self.betas) for n in networks]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> None:
        """One update of the critic, then one of the generator through the same forward pass.

        Args:
            batch: (B, 3, 256, 256) images in [-1, 1] and (B, 7, 256, 256) one-hot class maps.
            batch_index: Unused.
        """
        image, mask = batch
        optimizer_g, optimizer_d = self.optimizers()
        fake = self.generator(mask)

        loss_d = critic_hinge(self.critic(mask, image), self.critic(mask, fake.detach()))
        self._update(optimizer_d, loss_d)

        self.toggle_optimizer(optimizer_g)
        loss_adv = generator_hinge(self.critic(mask, fake))
        loss_vgg = self.vgg_weight * self.perceptual(image, fake)
        self._update(optimizer_g, loss_adv + loss_vgg)
        self.untoggle_optimizer(optimizer_g)

        losses = {
            "loss_D": loss_d,
            "loss_G": loss_adv + loss_vgg,
            "loss_G_adv": loss_adv,
            "loss_vgg": loss_vgg,
        }
        self.log_dict({name: loss.detach() for name, loss in losses.items()}, prog_bar=True)

    def on_train_end(self) -> None:
        """Writes the generator and the images it makes of the training masks."""
        if self.output is None:
            return
        from safetensors.torch import save_file

        folder = Path(self.output)
        state = {name: tensor.cpu().contiguous() for name, tensor in self.generator.state_dict().items()}
        save_file(state, folder / WEIGHTS_NAME)
        self.write_images(folder / IMAGES_NAME)

    @torch.no_grad()
    def write_images(self, folder: Path) -> None:
        """One PNG for every mask of the data module, under the mask's name."""
        from PIL import Image

        folder.mkdir(parents=True, exist_ok=True)
        data = self.trainer.datamodule
        names = iter(data.pairs.names)
        for _, mask in data.predict_dataloader():
            images = to_uint8(self.generator(mask.to(self.device))).movedim(1, -1).cpu().numpy()
            for image in images:
                Image.fromarray(image).save(folder / next(names))

    def _update(self, optimizer: lightning.pytorch.core.optimizer.LightningOptimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

"""ARAS400k's pairs of PNG files: ``images/NAME.png`` (RGB) and ``masks/NAME.png`` (colour-coded classes)."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.errors import InputError
from engine.models.legends import class_colors

CLASS_COLORS = np.array([color for _, color in class_colors("aras400k")], dtype=np.uint8)


def labels_from_colors(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) colours -> (H, W) class index; a colour outside the table becomes class 0 (as published)."""
    labels = np.zeros(mask.shape[:2], dtype=np.uint8)
    for index, color in enumerate(CLASS_COLORS):
        labels[(mask == color).all(axis=-1)] = index
    return labels


def one_hot(labels: NDArray[np.uint8] | Tensor) -> Tensor:
    """(..., H, W) class index -> (..., 7, H, W) float32 of 0 and 1."""
    planes = torch.nn.functional.one_hot(torch.as_tensor(labels).long(), len(CLASS_COLORS))
    return planes.movedim(-1, -3).float()


def image_tensor(image: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float32 in [-1, 1]: (x / 255 - 0.5) / 0.5."""
    return (torch.from_numpy(image).movedim(-1, 0).float() / 255 - 0.5) / 0.5


class Aras400kPairs(Dataset[tuple[Tensor, Tensor]]):
    """Image and one-hot class map of each PNG pair.

    Args:
        folder: Holds ``images`` and ``masks`` (one of ARAS400k's splits, unpacked).

    Raises:
        InputError: A folder is missing or empty, or an image has no mask.
    """

    def __init__(self, folder: str | Path | None) -> None:
        if folder is None:
            raise InputError(
                "Say where ARAS400k's training split lies: data.folder=PATH with images and masks in it."
            )
        self.folder = Path(folder)
        self.names = sorted(path.name for path in (self.folder / "images").glob("*.png"))
        if not self.names:
            raise InputError(
                f"There are no pairs in {folder}: it must hold the folders images and masks with PNG "
                "files of the same "
                "names, as ARAS400k's train.zip unpacks."
            )
        alone = next((name for name in self.names if not (self.folder / "masks" / name).is_file()), None)
        if alone is not None:
            raise InputError(
                f"The image {alone} in {folder} has no mask of the same name in {self.folder / 'masks'}."
            )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """(3, H, W) image in [-1, 1] and (7, H, W) one-hot map, both float32."""
        image, mask = (self._read(kind, self.names[index]) for kind in ("images", "masks"))
        if image.shape != mask.shape:
            raise InputError(
                f"Image and mask of {self.names[index]} differ in size: {image.shape[:2]}, {mask.shape[:2]}."
            )
        return image_tensor(image), one_hot(labels_from_colors(mask))

    def _read(self, kind: str, name: str) -> NDArray[np.uint8]:
        path = self.folder / kind / name
        try:
            with Image.open(path) as image:
                return np.array(image.convert("RGB"))
        except OSError as error:
            raise InputError(f"The file {path} cannot be read as an image ({error}).") from None


class Aras400kData(lightning.LightningDataModule):
    """Batches of one split, shuffled, without augmentation.

    Args:
        folder: The training split (see ``Aras400kPairs``).
        batch_size: 50 in the authors' script.
        workers: Processes that read.
    """

    def __init__(self, folder: str | None, batch_size: int = 50, workers: int = 2) -> None:
        super().__init__()
        self.folder, self.batch_size, self.workers = folder, batch_size, workers

    def setup(self, stage: str) -> None:
        """Lists the pairs."""
        self.pairs = Aras400kPairs(self.folder)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """All pairs in a new order each epoch."""
        return self._loader(shuffle=True)

    def predict_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """All pairs in the order of their names."""
        return self._loader(shuffle=False)

    def _loader(self, shuffle: bool) -> DataLoader[tuple[Tensor, Tensor]]:
        return DataLoader(
            self.pairs,
            batch_size=self.batch_size,
            shuffle=shuffle,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

"""How a run is scored."""

from __future__ import annotations

import numpy as np
import torch
from made_pairs import make_pair
from omegaconf import OmegaConf

from training.evaluate import predictor


class Recorder(torch.nn.Module):
    inputs = ("sar", "noise")

    def forward(self, sar, noise):
        self.seen = sar[0].numpy()
        return sar[:, :3]


def test_images_are_mirrored_beyond_their_edge_as_by_the_engine():
    pair, pad = make_pair(1, size=92), 16
    data = {"pad_px": pad, "cells_px": [1], "sampling": {"modalities": ["sar"]}}
    network = Recorder()
    image = predictor(OmegaConf.create({"data": data}), network)(pair, 0)
    assert image.shape == pair.optical.shape
    assert network.seen.shape[1:] == (96 + 2 * pad,) * 2  # whole multiples of 8
    inner = network.seen[:, pad : pad + 92, pad : pad + 92]
    expected = np.pad(inner, ((0, 0), (pad, pad + 4), (pad, pad + 4)), "symmetric")
    np.testing.assert_array_equal(network.seen, expected)
    np.testing.assert_array_equal(image, inner[:3])

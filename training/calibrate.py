"""Fits the one number that training cannot: how far colours can be trusted at places never seen.

A generator knows its training places too well and is too sure of colour elsewhere. Mixing its colours with
the training images' mean colour, brightness kept, brings the spectral angle down; the best share is measured
on held-out places.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.evaluate import once, predictor, read
from training.export import CALIBRATION_NAME, load_run
from training.losses.reconstruction import spectral_angle

SHARES = tuple(round(0.1 * step, 1) for step in range(10))
log = logging.getLogger(__name__)


def calibrate(run: Path) -> dict[str, Any]:
    """Find the colour shrinkage with the least spectral angle on validation images; write it into the run.

    Returns:
        ``colour``: mean reflectance of the training images; ``share``: the best of ``SHARES``; ``angles``:
        share -> mean spectral angle (rad); ``places``: where it was measured.
    """
    (run / CALIBRATION_NAME).unlink(missing_ok=True)
    config, network, _ = load_run(run)
    data = read(config)
    pairs, predict = data.validation_pairs(), once(predictor(config, network))
    colour = np.mean([np.nanmean(pair.optical, axis=(1, 2)) for pair in data.training_pairs()], axis=0)
    goal = torch.tensor(colour / colour.mean(), dtype=torch.float32)[:, None, None]
    angles = dict.fromkeys(SHARES, 0.0)
    for number, pair in enumerate(pairs):
        image, truth = torch.from_numpy(predict(pair, number)), torch.from_numpy(pair.optical)
        grey = image.mean(dim=0, keepdim=True) * goal
        for share in SHARES:
            mixed = (1 - share) * image + share * grey
            angles[share] += spectral_angle(mixed[None], truth[None], torch.ones_like(truth[None, :1])).item()
    result = {
        "colour": [round(float(value), 4) for value in colour],
        "share": min(angles, key=angles.get),
        "angles": {str(share): round(total / len(pairs), 4) for share, total in angles.items()},
        "places": sorted({pair.location for pair in pairs}),
    }
    (run / CALIBRATION_NAME).write_text(json.dumps(result, indent=2))
    log.info("Colours are mixed with the mean colour by %.1f.", result["share"])
    return result

"""What every score is called, what it means and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["up", "down", "zero", "half", "one", ""]


@dataclass(frozen=True)
class Score:
    """One kind of number.

    Attributes:
        title: Its usual name.
        unit: "" without one; ``value``: that of the bands.
        better: ``up``, ``down``, or the value that is ideal: ``zero``, ``half``, ``one``.
        text: What it means, one sentence.
        needs: Network whose weights it needs.
    """

    title: str
    unit: str
    better: Direction
    text: str
    needs: str = ""


PIXELS = {
    "psnr": Score("PSNR", "dB", "up", "Error of all pixels against the data range, on a logarithmic scale."),
    "ssim": Score(
        "SSIM", "", "up", "Likeness of brightness, contrast and structure around each pixel; 1 is equal."
    ),
    "sam": Score(
        "SAM", "rad", "down", "Angle between the spectra of a pixel: wrong colour, whatever the brightness."
    ),
    "scc": Score("SCC", "", "up", "Correlation of edges and fine texture; 1 is equal, 0 unrelated."),
    "rmse": Score("RMSE", "value", "down", "Root mean square error; large errors weigh more."),
    "mae": Score("MAE", "value", "down", "Mean absolute error."),
    "bias": Score("Bias", "value", "zero", "Mean of result minus reference: too bright or too dark."),
    "r2": Score(
        "R2",
        "",
        "up",
        "Share of the reference's variance that the result explains; 0: no better than its mean.",
    ),
    "wasserstein": Score(
        "Wasserstein",
        "value",
        "down",
        "How far the distribution of all values is off, wherever the pixels are.",
    ),
}
TILES = {
    "spectrum": Score(
        "Power spectrum",
        "",
        "down",
        "Mean absolute difference of the log power over spatial frequencies: blur and false texture.",
    ),
    "nn_accuracy": Score(
        "1-NN accuracy",
        "",
        "half",
        "Share of tiles whose nearest other one (by mean spectrum) is of its own kind; 0.5 is ideal.",
    ),
    "mmd": Score(
        "MMD", "", "zero", "Squared distance between the sets of tile spectra under a Gaussian kernel."
    ),
    "precision": Score("Precision", "", "up", "Share of generated tiles near real ones (k = 5)."),
    "recall": Score("Recall", "", "up", "Share of real tiles near generated ones (k = 5)."),
    "f_score": Score("F", "", "up", "Harmonic mean of precision and recall."),
}
DEEP = {
    "lpips": Score(
        "LPIPS", "", "down", "Perceptual distance of tiles through AlexNet; 0 is equal.", "alexnet"
    ),
    "lpips_vgg": Score(
        "LPIPS (VGG)", "", "down", "Perceptual distance of tiles through VGG-16; 0 is equal.", "vgg16"
    ),
    "dists": Score(
        "DISTS", "", "down", "Distance of structure and texture through VGG-16; 0 is equal.", "vgg16"
    ),
    "fid": Score(
        "FID", "", "down", "Distance of the sets of tiles through Inception v3, as Gaussians.", "inception"
    ),
    "kid": Score("KID", "", "down", "The same by a polynomial kernel, unbiased for few tiles.", "inception"),
    "inception_score": Score(
        "IS",
        "",
        "up",
        "How sure and how varied Inception v3 is about the result's tiles; made for photographs.",
        "inception",
    ),
    "embedded_nn_accuracy": Score(
        "1-NN accuracy (embedding)", "", "half", "As 1-NN accuracy, on ResNet-50's features.", "resnet50"
    ),
    "embedded_precision": Score(
        "Precision (embedding)", "", "up", "As precision, on ResNet-50's features.", "resnet50"
    ),
    "embedded_recall": Score(
        "Recall (embedding)", "", "up", "As recall, on ResNet-50's features.", "resnet50"
    ),
    "embedded_f_score": Score("F (embedding)", "", "up", "Harmonic mean of these two.", "resnet50"),
}
SHARPENING = {
    "d_lambda": Score(
        "D lambda", "", "down", "How much the relations between the bands changed by sharpening."
    ),
    "d_s": Score("D s", "", "down", "How much the bands' relation to the panchromatic image changed."),
    "qnr": Score(
        "QNR", "", "up", "(1 - D lambda)(1 - D s): quality of sharpening without a reference; at most 1."
    ),
}
CLASSES = {
    "accuracy": Score("Accuracy", "", "up", "Share of pixels with the right class."),
    "mean_iou": Score("Mean IoU", "", "up", "Overlap of true and found area, averaged over classes."),
    "mean_f1": Score("Mean F1", "", "up", "Harmonic mean of precision and recall, averaged over classes."),
    "fw_iou": Score("Weighted IoU", "", "up", "Overlap averaged by how frequent a class truly is."),
    "precision": Score(
        "Precision", "", "up", "Share of the found pixels that are right, averaged over classes."
    ),
    "recall": Score("Recall", "", "up", "Share of the true pixels that are found, averaged over classes."),
    "top3": Score(
        "Top-3 accuracy", "", "up", "Share of pixels whose class is among the three highest scores."
    ),
}
SETS = {
    "nn_accuracy": Score(
        "1-NN accuracy", "", "half", "Share of images whose nearest other one is of its own kind."
    ),
    "precision": Score("Precision", "", "up", "Share of generated images near real ones (k = 5)."),
    "recall": Score("Recall", "", "up", "Share of real images near generated ones (k = 5)."),
    "f_score": Score("F", "", "up", "Harmonic mean of precision and recall."),
    "mmd": Score("MMD", "", "zero", "Squared distance between the sets of spectra under a Gaussian kernel."),
    "wasserstein": Score("Wasserstein", "value", "down", "Distance of the distributions of mean values."),
    "coverage": Score("Spectral range", "", "one", "Share of the real range of values that is covered."),
    "intra_real": Score("Spread, real", "value", "", "Mean distance between the spectra of real images."),
    "intra_generated": Score(
        "Spread, generated", "value", "", "The same of generated images; ideally equal."
    ),
    "embedded_intra_real": Score(
        "Spread, real (embedding)", "", "", "The same on ResNet-50's features.", "resnet50"
    ),
    "embedded_intra_generated": Score(
        "Spread, generated (embedding)", "", "", "The same; the real one is ideal.", "resnet50"
    ),
    "embedded_nn_accuracy": DEEP["embedded_nn_accuracy"],
    "embedded_precision": DEEP["embedded_precision"],
    "embedded_recall": DEEP["embedded_recall"],
    "embedded_f_score": DEEP["embedded_f_score"],
    "lpips_real": Score("LPIPS diversity, real", "", "", "Mean LPIPS between real images.", "alexnet"),
    "lpips_generated": Score(
        "LPIPS diversity, generated", "", "", "The same of generated images; ideally equal.", "alexnet"
    ),
}
ARROWS = {
    "up": "higher is better",
    "down": "lower is better",
    "zero": "0 is ideal",
    "half": "0.5 is ideal",
    "one": "1 is ideal",
    "": "",
}

NETWORKS = {
    "alexnet": "give torchvision's weights of AlexNet (alexnet-owt-7be5be79.pth) with --weights.",
    "vgg16": "give torchvision's weights of VGG-16 (vgg16-397923af.pth) with --weights.",
    "resnet50": "give torchvision's weights of ResNet-50 (resnet50-0676ba61.pth) with --weights.",
    "inception": (
        "give the FID's weights of Inception v3 (pt_inception-2015-12-05-6726825d.pth) with --weights."
    ),
}


def of_values() -> dict[str, Score]:
    """Scores of continuous rasters, in the order in which they are shown."""
    return {**PIXELS, **TILES, **DEEP, **SHARPENING}

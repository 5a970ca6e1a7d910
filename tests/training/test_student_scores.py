"""Scores of students: what each of them says of images whose errors are known."""

import pytest
import torch

from training.metrics.students import NAMES, Drawn, scores

DRAWS, SIDE = 3, 32


def drawn(truth, error=0.0, shift=0.0, seed=0):
    """Each draw is the truth with noise of its own, and a shift of all."""
    generator = torch.Generator().manual_seed(seed)
    found = Drawn()
    for image in truth:
        noise = torch.randn((DRAWS, *image.shape), generator=generator)
        found.images.append(image + error * noise + shift)
        found.latents.append(image + error * noise)
    return found


@pytest.fixture(scope="module")
def truth():
    generator = torch.Generator().manual_seed(9)
    smooth = torch.randn((4, 2, SIDE // 4, SIDE // 4), generator=generator)
    return list(torch.nn.functional.interpolate(smooth, scale_factor=4, mode="bilinear"))


def test_worse_images_score_worse(truth):
    teacher = drawn(truth, 0.05)
    good, bad = (scores(drawn(truth, error, seed=1), teacher, truth) for error in (0.05, 0.5))
    assert set(good) == set(NAMES)
    assert good["psnr"] > bad["psnr"] + 15
    assert good["ssim"] > bad["ssim"] + 0.1
    for name in ("distance", "spectrum", "wasserstein", "diversity"):
        assert good[name] < bad[name]


def test_distances_are_of_one_noise_and_of_the_teacher_between_its_draws(truth):
    teacher = drawn(truth, 0.2)
    assert scores(drawn(truth, 0.2), teacher, truth)["distance"] == 0
    assert scores(teacher, teacher, truth)["distance"] == pytest.approx(0.2 * 2**0.5, rel=0.05)


def test_wasserstein_and_diversity_are_in_deviations_of_the_truth(truth):
    deviation = float(torch.stack(truth).std(dim=(0, 2, 3)).reciprocal().mean())
    found = scores(drawn(truth, 0.0, shift=0.3), drawn(truth, 0.1), truth)
    assert found["wasserstein"] == pytest.approx(0.3 * deviation, rel=1e-3)
    assert found["diversity"] == 0
    found = scores(drawn(truth, 0.1), drawn(truth, 0.1), truth)
    assert found["diversity"] == pytest.approx(0.1 * deviation * 0.886, rel=0.05)  # of three draws


def test_a_band_that_the_truth_does_not_vary_in_is_left_out(truth):
    made = drawn(truth, 0.1)
    alone = scores(made, made, truth)
    with_plane = [torch.cat([image, torch.full_like(image[:1], -1.0)]) for image in truth]
    made.images = [torch.cat([images, torch.rand_like(images[:, :1])], dim=1) for images in made.images]
    found = scores(made, made, with_plane)
    for name in ("wasserstein", "diversity"):
        assert found[name] == pytest.approx(alone[name], rel=1e-5)


def test_a_truth_of_one_value_still_has_scores():
    flat = [torch.zeros(2, SIDE, SIDE) for _ in range(2)]
    found = scores(drawn(flat, 0.1), drawn(flat, 0.2), flat)
    assert 0 < found["diversity"] < float("inf")

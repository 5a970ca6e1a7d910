"""ARAS400k's generator, critic and losses give the numbers that the authors' own code gave."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion or train)")

from aras400k_data import assert_stage, batched, cases, closed_form, files, names, pairs, tensors  # noqa: E402

from engine.networks.aras400k import (  # noqa: E402
    PatchCritic,
    Spade,
    SpadeBlock,
    SpadeGenerator,
    generator_from_tensors,
    to_uint8,
)
from training.datasets.aras400k import image_tensor, labels_from_colors, one_hot  # noqa: E402
from training.losses.aras400k import (  # noqa: E402
    VGGFeatures,
    VGGPerceptualLoss,
    critic_hinge,
    generator_hinge,
)

STAGES = ("fc", "up_0", "up_1", "up_2", "up_3", "conv_img")


def record_stages(generator):
    """Outputs of the stages (before upsampling and tanh) of every forward pass from here on."""
    outputs = {}
    for name in STAGES:
        module = getattr(generator, name)
        module.register_forward_hook(lambda _m, _i, output, name=name: outputs.__setitem__(name, output))
    return outputs


@pytest.mark.parametrize(("weights", "expected"), pairs("gen_div*_weights.npz", "_weights.npz", "_cases.npz"))
def test_generator(weights, expected):
    archive = np.load(expected)
    generator = generator_from_tensors(tensors(np.load(weights)), weights.name)
    stages = record_stages(generator)
    assert cases(archive)
    for case in cases(archive):
        with torch.no_grad():
            output = generator(one_hot(batched(archive[f"{case}_labels"])))
        np.testing.assert_allclose(output.numpy(), archive[f"{case}_output"], atol=5e-5)
        for name in STAGES:
            if f"{case}_stage_{name}_crop" in archive.files:
                assert_stage(archive, f"{case}_stage_{name}", stages[name])


@pytest.mark.parametrize("path", files("state_dict_names.json"))
def test_published_names_and_shapes(path):
    published = names(path.name)
    for kind, network in (("generator", SpadeGenerator()), ("discriminator", PatchCritic())):
        found = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
        assert found == published[kind]


@pytest.mark.parametrize("path", files("gen_full_closedform*.npz"))
def test_full_size(path):
    archive, published = np.load(path), names("state_dict_names.json")
    weights = closed_form(published["generator"], seed=1, gain=1.0, bias=0.2)
    critic_weights = closed_form(published["discriminator"], seed=2, gain=1.0, bias=0.2)
    for prefix, filled in (("fillcheck.", weights), ("fillcheck_disc.", critic_weights)):
        for name, expected in tensors(archive, prefix).items():
            torch.testing.assert_close(filled[name].flatten()[: len(expected)], expected, rtol=0, atol=0)
    generator, critic = generator_from_tensors(weights, path.name), PatchCritic()
    critic.load_state_dict(critic_weights)
    stages = record_stages(generator)
    mask = one_hot(batched(archive["labels"]))
    with torch.no_grad():
        output = generator(mask)
        logits = critic(mask, output)
    np.testing.assert_allclose(output.numpy(), archive["output"], atol=1e-4)
    np.testing.assert_allclose(logits.numpy(), archive["disc_logits_on_output"], atol=1e-4)
    for name in STAGES:
        assert_stage(archive, f"stage_{name}", stages[name])


@pytest.mark.parametrize("path", files("spade_blocks*.npz"))
def test_spade_and_blocks(path):
    archive = np.load(path)
    kinds = sorted({key.split("_w.")[0] for key in archive.files if "_w." in key})
    assert kinds
    for kind in kinds:
        weights = tensors(archive, f"{kind}_w.")
        if "conv_0.weight" in weights:
            hidden, classes = weights["norm_0.mlp_shared.0.weight"].shape[:2]
            channels_out, channels_in = weights["conv_0.weight"].shape[:2]
            module = SpadeBlock(channels_in, channels_out, classes, hidden)
        else:
            hidden, classes = weights["mlp_shared.0.weight"].shape[:2]
            module = Spade(weights["mlp_gamma.weight"].shape[0], classes, hidden)
        module.load_state_dict(weights)
        with torch.no_grad():
            output = module(torch.from_numpy(archive[f"{kind}_x"]), one_hot(archive[f"{kind}_labels"]))
        np.testing.assert_allclose(output.numpy(), archive[f"{kind}_out"], atol=1e-5)


@pytest.mark.parametrize("path", files("disc_div*.npz"))
def test_critic(path):
    archive = np.load(path)
    weights = tensors(archive, "w.")
    width, channels = weights["model.0.0.weight"].shape[:2]
    critic = PatchCritic(channels, width)
    critic.load_state_dict(weights)
    assert cases(archive)
    for case in cases(archive):
        image = image_tensor(archive[f"{case}_image_u8"])[None]
        with torch.no_grad():
            logits = critic(one_hot(batched(archive[f"{case}_labels"])), image)
        np.testing.assert_allclose(logits.numpy(), archive[f"{case}_logits"], atol=1e-5)


def closed_form_vgg(seed, path):
    """VGG-19 weights in torchvision's layout on disk, read back by the product's loader."""
    weights = closed_form(names("vgg_slice_names.json"), int(seed), gain=1.3, bias=0.1)
    torch.save({f"features.{name}": tensor for name, tensor in weights.items()}, path)
    return weights


@pytest.mark.parametrize("path", files("losses*.npz"))
def test_losses(path, tmp_path):
    archive = np.load(path)
    weights = closed_form_vgg(archive["vgg_fill_seed"], tmp_path / "vgg19.pth")
    for name, expected in tensors(archive, "vgg_fillcheck.").items():
        torch.testing.assert_close(weights[name].flatten()[: len(expected)], expected, rtol=0, atol=0)
    features = VGGFeatures.load(tmp_path / "vgg19.pth")
    perceptual = VGGPerceptualLoss(features)
    assert cases(archive)
    for case in cases(archive):
        data = {
            key: torch.from_numpy(archive[f"{case}_{key}"])
            for key in ("pred_real", "pred_fake", "pred_fake_G")
        }
        real, fake = (torch.from_numpy(archive[f"{case}_{kind}_imgs"]) for kind in ("real", "fake"))
        adversarial, vgg = generator_hinge(data["pred_fake_G"]), 10 * perceptual(real, fake)
        found = {
            "loss_D": critic_hinge(data["pred_real"], data["pred_fake"]),
            "loss_G_adv": adversarial,
            "loss_vgg": vgg,
            "loss_G": adversarial + vgg,
        }
        for name, loss in found.items():
            np.testing.assert_allclose(loss.numpy(), archive[f"{case}_{name}"], rtol=1e-5)
        activation = features(real)
        assert list(activation.shape) == archive[f"{case}_vgg_feat_shape"].tolist()
        assert_stage(archive, f"{case}_vgg_feat", activation)


@pytest.mark.parametrize("path", files("image_writer*.npz"))
def test_image_writer(path):
    archive = np.load(path)
    written = to_uint8(torch.from_numpy(archive["tensor"])).movedim(0, -1)
    np.testing.assert_array_equal(written.numpy(), archive["png_u8"])


@pytest.mark.parametrize("path", files("dataset_item*.npz"))
def test_dataset_item(path, tmp_path):
    from PIL import Image

    from training.datasets.aras400k import Aras400kPairs

    archive = np.load(path)
    for kind, key in (("images", "image_u8"), ("masks", "mask_rgb_u8")):
        (tmp_path / kind).mkdir()
        Image.fromarray(archive[key]).save(tmp_path / kind / "patch.png")
    image, mask = Aras400kPairs(tmp_path)[0]
    np.testing.assert_allclose(image.numpy(), archive["image_tensor"], atol=1e-6)
    np.testing.assert_array_equal(mask.numpy(), archive["onehot_u8"])
    np.testing.assert_array_equal(labels_from_colors(archive["mask_rgb_u8"]), archive["label_u8"])

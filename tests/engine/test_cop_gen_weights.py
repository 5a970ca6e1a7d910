"""Weights of COP-GEN and of KL autoencoders: all tensors fit or none is loaded; the sentence says which."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")

from engine.errors import ModelError  # noqa: E402
from engine.models.joint_families import recognise  # noqa: E402
from engine.models.tensor_files import read_tensors  # noqa: E402
from engine.networks.cop_gen import CopGen, LatentGroup, PatchEmbed  # noqa: E402
from engine.networks.cop_gen_published import (  # noqa: E402
    COP_GEN,
    COP_GEN_BETA,
)
from engine.networks.cop_gen_weights import cop_gen_from_tensors  # noqa: E402

GROUPS = (LatentGroup("dem", 4, 8, 8), LatentGroup("date", 1, 1, 3, patch=1))


@pytest.fixture
def tensors():
    return dict(CopGen(GROUPS, width=32, depth=4, heads=4, hidden=64).state_dict())


@pytest.mark.parametrize("options", [{}, {"qkv_bias": True}, {"time_mlp": True}, {"depth": 1}, {"depth": 7}])
def test_options_are_read_from_the_shapes(options, tmp_path):
    network = CopGen(GROUPS, **{"width": 32, "depth": 4, "heads": 4, "hidden": 64} | options)
    torch.save(network.state_dict(), tmp_path / "nnet_ema.pth")
    loaded = cop_gen_from_tensors(read_tensors(tmp_path / "nnet_ema.pth"), GROUPS, 4, "nnet_ema.pth")
    assert not loaded.training
    latents = [torch.randn(2, *group.shape) for group in GROUPS]
    times = [torch.full((2,), 500.0)] * 2
    for found, expected in zip(loaded(latents, times), network(latents, times), strict=True):
        torch.testing.assert_close(found, expected)


def test_half_precision_weights_become_float32(tensors):
    halves = {name: tensor.half() for name, tensor in tensors.items()}
    assert cop_gen_from_tensors(halves, GROUPS, 4, "file").pos_embed.dtype == torch.float32


def dropped(name):
    return lambda tensors: tensors.pop(name)


def replaced(name, tensor):
    return lambda tensors: tensors.__setitem__(name, tensor)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (dropped("decoder_preds.1.bias"), "missing: decoder_preds.1.bias"),
        (dropped("pos_embed"), "tensor pos_embed is missing"),
        (dropped("mid_block.mlp.fc1.weight"), "tensor mid_block.mlp.fc1.weight is missing"),
        (replaced("pos_embed", torch.zeros(32)), "pos_embed is missing or has not 3"),
        (
            replaced("pos_embed", torch.zeros(1, 99, 32)),
            r"pos_embed has \[1, 99, 32\] float32 where \[1, 21, 32\]",
        ),
        (replaced("norm.weight", torch.zeros(31)), r"norm.weight has \[31\] float32 where \[32\]"),
        (replaced("norm.bias", torch.zeros(32, dtype=torch.int64)), r"norm.bias has \[32\] int64"),
        (replaced("module.norm.bias", torch.zeros(32)), "unexpected: module.norm.bias"),
        (replaced("patch_embeds.2.proj.bias", torch.zeros(32)), "unexpected: patch_embeds.2.proj.bias"),
        (dropped("in_blocks.1.norm2.bias"), "missing: in_blocks.1.norm2.bias"),
        (
            replaced("in_blocks.999.norm2.bias", torch.zeros(32)),
            "missing: in_blocks.2.*unexpected: in_blocks.999",
        ),
        (replaced("mid_block.attn.qkv.bias", torch.zeros(96)), "missing: in_blocks.0.attn.qkv.bias"),
    ],
)
def test_refusals(tensors, damage, message):
    damage(tensors)
    with pytest.raises(ModelError, match=message):
        cop_gen_from_tensors(tensors, GROUPS, 4, "nnet_ema.pth")


def test_heads_must_share_the_tokens(tensors):
    with pytest.raises(ModelError, match="32 numbers, which 5 attention heads cannot share"):
        cop_gen_from_tensors(tensors, GROUPS, 5, "nnet_ema.pth")


def test_an_endless_stack_of_blocks_is_refused(tensors):
    tensors |= {f"in_blocks.{i}.norm2.bias": torch.zeros(32) for i in range(500)}
    with pytest.raises(ModelError, match="more than any COP-GEN"):
        cop_gen_from_tensors(tensors, GROUPS, 4, "nnet_ema.pth")


def published(groups, **options):
    with torch.device("meta"):
        return dict(CopGen([group.latent for group in groups], **options).state_dict())


def test_files_in_the_order_of_the_authors_list_are_refused():
    listed = [COP_GEN[0], COP_GEN[-1], *COP_GEN[1:-1]]
    with pytest.raises(ModelError, match=r"order of the authors' list"):
        recognise("cop-gen", published(listed), "500000_nnet_ema.pth")


def test_published_models_are_told_apart():
    with pytest.raises(ModelError, match=r"12 modalities and cop-gen-beta has .* cop-gen it may fit"):
        recognise("cop-gen-beta", published(COP_GEN), "500000_nnet_ema.pth")
    with pytest.raises(ModelError, match=r"4 modalities and cop-gen has 12; with --family cop-gen-beta"):
        recognise("cop-gen", published(COP_GEN_BETA), "nnet_ema_114000.pth")
    with pytest.raises(ModelError, match=r"tokens of 768 numbers.*--heads"):
        recognise("cop-gen-beta", published(COP_GEN_BETA, width=768, heads=12), "file")
    with pytest.raises(ModelError, match="not a COP-GEN denoiser"):
        recognise("cop-gen-beta", {"weight": torch.zeros(1)}, "file")


# Squares of a latent


@pytest.mark.parametrize(("channels", "patch"), [(4, 2), (8, 8), (3, 4)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_tokens_are_those_of_a_convolution(channels, patch, precision):
    torch.manual_seed(0)
    embed = PatchEmbed(LatentGroup("any", channels, 2 * patch, 3 * patch, patch), 64)
    latent = torch.randn(2, channels, 2 * patch, 3 * patch)
    expected = embed.proj.double()(latent.double()).flatten(2).transpose(1, 2)
    found = embed.to(precision)(latent.to(precision))
    assert found.shape == (2, 6, 64)
    error = (found.double() - expected).abs().max() / expected.std()
    assert error < (1e-5 if precision == torch.float32 else 5e-2)


# Autoencoder


@pytest.fixture
def autoencoder_tensors():
    pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")
    from engine.networks.kl_autoencoder import empty_autoencoder, published_layout

    generator = torch.Generator().manual_seed(1)
    layout = published_layout(empty_autoencoder(2, (32, 64), 1, 4))
    return {
        name: 0.05 * torch.randn(shape, generator=generator) + (len(shape) == 1 and "norm" in name)
        for name, (_, shape) in layout.items()
    }


def test_autoencoder_codes_an_image(autoencoder_tensors):
    from engine.networks.kl_autoencoder import LatentCodec, autoencoder_from_tensors

    codec = LatentCodec(autoencoder_from_tensors(autoencoder_tensors, "file"), 0.5)
    image = torch.rand(1, 2, 32, 48) * 2 - 1
    moments = codec.moments(image)
    assert moments.shape == (1, 8, 16, 24)
    mean, noise = codec.latent(moments), torch.ones(1, 4, 16, 24)
    torch.testing.assert_close(mean, 0.5 * moments[:, :4])
    deviation = torch.exp(0.5 * moments[:, 4:])
    torch.testing.assert_close(codec.latent(moments, noise), mean + 0.5 * deviation)
    assert codec.decode(mean).shape == image.shape


def test_memory_layout_of_the_image_does_not_matter(autoencoder_tensors):
    from engine.networks.kl_autoencoder import LatentCodec, autoencoder_from_tensors

    codec = LatentCodec(autoencoder_from_tensors(autoencoder_tensors, "file"), 0.5)
    image = torch.rand(1, 2, 128, 128) * 2 - 1
    interleaved = image.to(memory_format=torch.channels_last)
    assert torch.equal(codec.moments(image), codec.moments(interleaved))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (dropped("quant_conv.bias"), "missing: quant_conv.bias"),
        (dropped("post_quant_conv.weight"), "post_quant_conv.weight is missing"),
        (dropped("encoder.conv_in.weight"), "encoder.conv_in.weight is missing"),
        (replaced("loss.logvar", torch.zeros(())), "unexpected: loss.logvar"),
        (
            replaced("encoder.down.0.attn.0.q.weight", torch.zeros(32, 32, 1, 1)),
            "unexpected: encoder.down.0.attn",
        ),
        (
            replaced("encoder.mid.attn_1.q.weight", torch.zeros(64, 64)),
            r"q.weight has \[64, 64\] .* \[64, 64, 1, 1\]",
        ),
        (replaced("encoder.down.0.block.0.conv1.weight", torch.zeros(33, 32, 3, 3)), "33 channels"),
        (
            replaced("decoder.conv_out.bias", torch.zeros(3)),
            r"decoder.conv_out.bias has \[3\] float32 where \[2\]",
        ),
    ],
)
def test_autoencoder_refusals(autoencoder_tensors, damage, message):
    from engine.networks.kl_autoencoder import autoencoder_from_tensors

    damage(autoencoder_tensors)
    with pytest.raises(ModelError, match=message):
        autoencoder_from_tensors(autoencoder_tensors, "autoencoder_kl_ema.pth")


def test_diffusers_missing_is_said(autoencoder_tensors, monkeypatch):
    import sys

    from engine.errors import MissingPackageError
    from engine.networks.kl_autoencoder import autoencoder_from_tensors

    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingPackageError, match="needs diffusers, which is not installed"):
        autoencoder_from_tensors(autoencoder_tensors, "file")

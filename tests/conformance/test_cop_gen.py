"""COP-GEN-Beta's and COP-GEN's networks have the authors' names and give their numbers."""

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")

from cop_gen_data import (  # noqa: E402
    ROOT,
    assert_near,
    entries,
    formula,
    formula_autoencoder,
    formula_weight,
    index,
    needs,
    needs_diffusers,
    network,
    one_thread,  # noqa: F401 (a fixture)
    part,
    read_json,
    read_pth,
    read_tensors,
)

from engine.models.joint_families import recognise  # noqa: E402
from engine.networks.cop_gen import CopGen, LatentGroup, sinusoid, unpatchify  # noqa: E402
from engine.networks.cop_gen_published import COP_GEN, COP_GEN_BETA  # noqa: E402
from engine.networks.cop_gen_weights import cop_gen_from_tensors  # noqa: E402
from engine.networks.kl_autoencoder import (  # noqa: E402
    LatentCodec,
    autoencoder_from_tensors,
    empty_autoencoder,
    published_layout,
)
from engine.translators.joint_networks import latent_groups  # noqa: E402

BETA = "cop_gen_beta"
SD_WIDTHS = (128, 256, 512, 512)


def shapes(tensors):
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def recognised(tensors, where):
    """The denoiser of COP-GEN's published files, as the import finds it."""
    groups, sampler = recognise("cop-gen", tensors, where)
    return cop_gen_from_tensors(tensors, latent_groups(groups), sampler.heads, where)


@pytest.mark.parametrize(
    ("family", "published"),
    [
        pytest.param(BETA, COP_GEN_BETA, marks=needs(BETA, "keys.json"), id=BETA),
        pytest.param("cop_gen", COP_GEN, marks=needs("cop_gen", "keys.json"), id="cop_gen"),
    ],
)
def test_published_names_and_shapes(family, published):
    expected = read_json(family, "keys.json")["nnet"]
    with torch.device("meta"):
        tensors = CopGen([group.latent for group in published]).state_dict()
    assert shapes(tensors) == expected["keys"]
    count = sum(tensor.numel() for tensor in tensors.values())
    assert count == expected.get("n_parameters", 286_648_384)


@needs("cop_gen", "keys.json")
def test_published_sizes_of_cop_gen():
    sizes = read_json("cop_gen", "keys.json")["other_sizes"]
    assert sizes
    for size in sizes.values():
        width = size["embed_dim"]
        with torch.device("meta"):
            tensors = CopGen(
                [group.latent for group in COP_GEN], width, size["depth"], size["num_heads"], 4 * width
            ).state_dict()
            loaded = recognised(tensors, "file")
        assert loaded.mid_block.attn.heads == size["num_heads"]
        assert len(tensors) == size["n_tensors"]
        assert sum(tensor.numel() for tensor in tensors.values()) == size["n_parameters"]


@needs("cop_gen", "keys.json")
def test_published_groups_of_cop_gen():
    keys, first = read_json("cop_gen", "keys.json"), len(COP_GEN)
    assert len(keys["groups"]) == len(COP_GEN)
    for ours, theirs in zip(COP_GEN, keys["groups"], strict=True):
        assert ours.name == theirs["name"]
        assert list(ours.latent.shape) == theirs["latent"]
        assert (ours.latent.patch, ours.latent.tokens) == (theirs["patch"], theirs["tokens"])
        assert theirs["first_token"] == first
        first += ours.latent.tokens
        assert list(ours.bands) == theirs["bands"]
        assert ours.scale == theirs["scale_factor"]
        if theirs["vae_file"]:
            assert theirs["vae_file"] == f"models/vae/{ours.autoencoder}/model-50-ema.pth"
    assert first == keys["sequence_length"]


@needs(BETA, "keys.json")
def test_autoencoder_names_of_stable_diffusion():
    needs_diffusers()
    expected = read_json(BETA, "keys.json")["autoencoder"]
    layout = published_layout(empty_autoencoder(3, SD_WIDTHS, 2, 4))
    assert {name: list(shape) for name, (_, shape) in layout.items()} == expected["keys"]
    theirs = expected["to_diffusers_AutoencoderKL"]
    assert {name: own for name, (own, _) in layout.items()} == theirs.get("map", theirs)


@needs(BETA, "vae_to_diffusers.json")
def test_autoencoder_names_of_the_small_one():
    needs_diffusers()
    expected = read_json(BETA, "vae_to_diffusers.json")
    tensors = read_pth(ROOT / BETA / index(BETA)["vae"]["file"])
    layout = published_layout(autoencoder_from_tensors(tensors, "file"))
    assert {name: own for name, (own, _) in layout.items()} == expected["map"]


@needs("cop_gen", "keys.json")
def test_autoencoder_names_of_cop_gen():
    needs_diffusers()
    expected = read_json("cop_gen", "keys.json")["autoencoder"]
    common = expected["common_keys_as_DEM_DEM"]
    assert expected["differing_keys_per_group"]
    for name, differing in expected["differing_keys_per_group"].items():
        keys = common | differing
        layout = published_layout(empty_autoencoder(keys["encoder.conv_in.weight"][1], SD_WIDTHS, 2, 8))
        assert {name: list(shape) for name, (_, shape) in layout.items()} == keys
        count = sum(int(np.prod(shape)) for _, shape in layout.values())
        assert [len(layout), count] == expected["counts"][name]


@pytest.mark.parametrize(("family", "name"), entries("nnets"))
def test_names_and_shapes(family, name):
    entry, net = index(family)["nnets"][name], network(family, name)
    found = net.state_dict()
    assert sum(tensor.numel() for tensor in found.values()) == entry["n_params"]
    if "keys" in entry:
        assert shapes(found) == entry["keys"]


@pytest.mark.parametrize(("family", "name"), entries("forward"))
def test_forward(family, name):
    entry, net = index(family)["forward"][name], network(family, name)
    stored = part(read_tensors(family, entry["file"]), f"{entry['prefix']}.")
    by_name = f"z.{net.groups[0].name}" in stored
    keys = [group.name if by_name else i for i, group in enumerate(net.groups)]
    seen = {}
    first = [*net.in_blocks, net.mid_block][0]
    first.register_forward_pre_hook(lambda _m, inputs: seen.__setitem__("tokens", inputs[0]))
    net.mid_block.register_forward_hook(lambda _m, _i, output: seen.__setitem__("mid", output))
    net.norm.register_forward_hook(lambda _m, _i, output: seen.__setitem__("final_norm", output))
    outputs = net([stored[f"z.{key}"] for key in keys], [stored[f"t.{key}"] for key in keys])
    for key, output in zip(keys, outputs, strict=True):
        assert_near(output, stored[f"out.{key}"], 1e-4)
        if f"temb.{key}" in stored:
            assert_near(sinusoid(stored[f"t.{key}"], net.width), stored[f"temb.{key}"], 1e-4)
    for key, activation in seen.items():
        assert_near(activation, stored[key], 1e-4)


@needs(BETA, "forward.safetensors")
def test_token_layout():
    stored = read_tensors(BETA, "forward.safetensors")
    odd = [name for name in stored if re.fullmatch(r"temb\.odd_dim\d+", name)]
    layouts = [name for name in stored if name.startswith("patch.tokens_p")]
    assert odd
    assert layouts
    for name in odd:
        assert_near(sinusoid(stored[f"{name}_t"], stored[name].shape[1]), stored[name], 1e-6)
    for name in layouts:
        _, channels, height, width = stored["patch.back"].shape
        group = LatentGroup("any", channels, height, width, int(name.removeprefix("patch.tokens_p")))
        assert stored[name].shape[1] == group.tokens
        assert_near(unpatchify(stored[name], group), stored["patch.back"], 1e-6)


@needs("cop_gen", "published_size.safetensors")
def test_published_size():
    entry = index("cop_gen")["published_size"]
    values, stored = read_json("cop_gen", entry["values"]), read_tensors("cop_gen", entry["tensors"])
    tag, keys = values["tag"], read_json("cop_gen", entry["keys"])["nnet"]["keys"]
    net = recognised({name: formula_weight(name, shape, tag) for name, shape in keys.items()}, tag)
    inputs = [
        torch.from_numpy((1.7 * formula(f"z.{g.name}", (1, *g.shape), f"{tag}.in")).astype(np.float32))
        for g in net.groups
    ]
    times = [torch.tensor([values["times"][group.name]]) for group in net.groups]
    with torch.inference_mode():
        outputs = net(inputs, times)
    for group, output in zip(net.groups, outputs, strict=True):
        expected = stored[f"out.{group.name}"]
        assert_near(output[:, : expected.shape[1]], expected, 1e-4)
        assert float(output.norm()) == pytest.approx(values["stats"][group.name]["l2"], abs=1e-2)


@needs("cop_gen", "published_size.safetensors")
def test_published_size_of_autoencoders():
    entry = index("cop_gen")["published_size"]
    values, stored = read_json("cop_gen", entry["values"])["vae"], read_tensors("cop_gen", entry["tensors"])
    assert values
    for name, case in values.items():
        tag, channels, latent = case["tag"], case["input"][1], case["z"][1]
        config = {
            "ch": 128,
            "ch_mult": [1, 2, 4, 4],
            "in_channels": channels,
            "num_res_blocks": 2,
            "z_channels": latent,
        }
        published = LatentCodec(
            autoencoder_from_tensors(formula_autoencoder(config, tag), tag), case["scale_factor"]
        )
        image = torch.from_numpy(formula("x", case["input"], f"{tag}.in").astype(np.float32))
        z = torch.from_numpy((1.5 * formula("z", case["z"], f"{tag}.in")).astype(np.float32))
        for key, found in (("moments", published.moments(image)), ("decoded", published.decode(z))):
            expected = stored[f"vae.{name}.{key}"]
            assert_near(found[:, : expected.shape[1]], expected, 1e-4)

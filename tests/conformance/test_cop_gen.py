"""COP-GEN-Beta's and COP-GEN's networks, autoencoders and samplers give the numbers of the authors' own code."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")
pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")

from cop_gen_data import (  # noqa: E402
    ROOT,
    StoredNoise,
    assert_near,
    codec,
    entries,
    formula,
    formula_autoencoder,
    formula_weight,
    index,
    latent_groups,
    needs,
    network,
    part,
    read_json,
    read_pth,
    read_tensors,
)

from engine.networks.cop_gen import CopGen, sinusoid, unpatchify  # noqa: E402
from engine.networks.cop_gen_published import (  # noqa: E402
    COP_GEN,
    COP_GEN_BETA,
    cop_gen_base_from_tensors,
)
from engine.networks.cop_gen_weights import cop_gen_from_tensors  # noqa: E402
from engine.networks.kl_autoencoder import (  # noqa: E402
    LatentCodec,
    autoencoder_from_tensors,
    empty_autoencoder,
    published_layout,
)
from engine.samplers.any_to_any import sample  # noqa: E402
from engine.samplers.dpm_solver import singlestep, stage_orders, time_grid  # noqa: E402
from engine.samplers.schedule import Schedule, latent_diffusion_betas  # noqa: E402

BETA = "cop_gen_beta"
SD_WIDTHS = (128, 256, 512, 512)


def shapes(tensors):
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# -- Names, groups and shapes -------------------------------------------------------------------------------------


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
            loaded = cop_gen_base_from_tensors(tensors, "file")
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
    expected = read_json(BETA, "keys.json")["autoencoder"]
    layout = published_layout(empty_autoencoder(3, SD_WIDTHS, 2, 4))
    assert {name: list(shape) for name, (_, shape) in layout.items()} == expected["keys"]
    theirs = expected["to_diffusers_AutoencoderKL"]
    assert {name: own for name, (own, _) in layout.items()} == theirs.get("map", theirs)


@needs(BETA, "vae_to_diffusers.json")
def test_autoencoder_names_of_the_small_one():
    expected = read_json(BETA, "vae_to_diffusers.json")
    tensors = read_pth(ROOT / BETA / index(BETA)["vae"]["file"])
    layout = published_layout(autoencoder_from_tensors(tensors, "file"))
    assert {name: own for name, (own, _) in layout.items()} == expected["map"]


@needs("cop_gen", "keys.json")
def test_autoencoder_names_of_cop_gen():
    expected = read_json("cop_gen", "keys.json")["autoencoder"]
    common = expected["common_keys_as_DEM_DEM"]
    assert expected["differing_keys_per_group"]
    for name, differing in expected["differing_keys_per_group"].items():
        keys = common | differing
        layout = published_layout(
            empty_autoencoder(keys["encoder.conv_in.weight"][1], SD_WIDTHS, 2, 8)
        )
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


# -- Network ------------------------------------------------------------------------------------------------------


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
    odd = stored["temb.odd_dim7"]
    assert_near(sinusoid(stored["temb.odd_dim7_t"], odd.shape[1]), odd, 1e-6)
    _, channels, height, width = stored["patch.back"].shape
    tokens = stored["patch.tokens_p2"]
    group = latent_groups(
        {"img_size": height, "in_chans": channels, "patch_size": 2}, {"modalities": ["any"]}
    )[0]
    assert tokens.shape[1] == group.tokens
    assert_near(unpatchify(tokens, group), stored["patch.back"], 1e-6)


@needs("cop_gen", "published_size.safetensors")
def test_published_size():
    entry = index("cop_gen")["published_size"]
    values, stored = read_json("cop_gen", entry["values"]), read_tensors("cop_gen", entry["tensors"])
    tag, keys = values["tag"], read_json("cop_gen", entry["keys"])["nnet"]["keys"]
    net = cop_gen_base_from_tensors(
        {name: formula_weight(name, shape, tag) for name, shape in keys.items()}, tag
    )
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


# -- Autoencoders -------------------------------------------------------------------------------------------------


def check_autoencoder(coder, stored, decoded):
    moments = coder.moments(stored["image"])
    assert_near(moments, stored["moments"], 1e-4)
    assert_near(coder.latent(moments, stored["noise"]), stored["z_sampled"], 1e-4)
    assert_near(coder.latent(moments), stored["z_mean"], 1e-4)
    assert_near(coder.decode(stored["z_sampled"]), stored[decoded], 1e-4)


@needs(BETA, "vae.safetensors")
def test_autoencoder_of_beta():
    stored, coder = read_tensors(BETA, index(BETA)["vae"]["tensors"]), codec(BETA)
    check_autoencoder(coder, stored, "decoded_of_z_sampled")
    assert_near(coder.decode(stored["z_rect"]), stored["decoded_of_z_rect"], 1e-4)


@pytest.mark.parametrize(("family", "name"), entries("vaes"))
def test_autoencoder(family, name):
    entry, coder = index(family)["vaes"][name], codec(family, name)
    assert 2 ** (len(entry["ddconfig"]["ch_mult"]) - 1) == entry["downsampling"]
    if "tensors" not in entry:
        pytest.skip("the set holds no numbers for it; it serves sampler cases")
    stored = part(read_tensors(family, entry["tensors"].split()[0]), f"{name}.")
    check_autoencoder(coder, stored, "decoded")
    assert_near(coder.moments(stored["image_rect"]), stored["moments_rect"], 1e-4)
    assert_near(coder.decode(stored["z_rect"]), stored["decoded_rect"], 1e-4)


# -- Schedule and solver ------------------------------------------------------------------------------------------


@needs(BETA, "schedule.safetensors")
def test_schedule():
    stored, schedule = read_tensors(BETA, "schedule.safetensors"), Schedule()
    np.testing.assert_allclose(latent_diffusion_betas(), stored["betas_f64"].numpy(), atol=1e-6)
    np.testing.assert_allclose(schedule.log_alphas, stored["log_alpha_discrete"].numpy(), atol=1e-6)
    np.testing.assert_allclose(schedule.times, stored["t_discrete"].numpy(), atol=1e-6)
    found = {
        "log_alpha": (schedule.log_alpha, "t", 1e-6),
        "alpha": (schedule.alpha, "t", 1e-6),
        "sigma": (schedule.sigma, "t", 1e-6),
        "lambda": (schedule.lambda_, "t", 2e-5),
        "inverse_lambda_of_lambda": (schedule.time_of_lambda, "lambda", 1e-6),
    }
    for name, (function, argument, tolerance) in found.items():
        values = [function(float(value)) for value in stored[argument]]
        np.testing.assert_allclose(values, stored[name].numpy(), atol=tolerance, rtol=0, err_msg=name)


@needs(BETA, "time_grids.json")
def test_time_grids():
    grids = read_json(BETA, "time_grids.json")
    assert grids
    for steps, grid in grids.items():
        assert stage_orders(int(steps)) == grid["orders"]
        np.testing.assert_allclose(time_grid(int(steps)), grid["t"], atol=1e-6)


@needs(BETA, "solver_gaussian.safetensors")
def test_solver_on_a_gaussian():
    entry, schedule = index(BETA)["solver"], Schedule()
    stored = read_tensors(BETA, entry["file"])
    assert entry["nfe"]
    for steps, evaluations in entry["nfe"].items():
        calls = []

        def predict(x, t, calls=calls):
            calls.append(t)
            alpha, sigma = schedule.alpha(t), schedule.sigma(t)
            return sigma * (x - alpha * entry["mu"]) / (alpha**2 * entry["s"] ** 2 + sigma**2)

        times = time_grid(int(steps), entry["T"], entry["eps"])
        found = singlestep(predict, stored["x_T"], times, schedule)
        assert_near(found, stored[f"x_0.steps{steps}"], 1e-5)
        assert len(calls) == evaluations
        np.testing.assert_allclose(calls, stored[f"t_calls.steps{steps}"].numpy(), atol=1e-5)


# -- Sampler ------------------------------------------------------------------------------------------------------


class Recorded:
    """What a network was given and gave back, evaluation by evaluation."""

    def __init__(self, net):
        self.calls = []
        net.register_forward_hook(lambda _m, inputs, outputs: self.calls.append((*inputs, outputs)))

    def times(self):
        return torch.stack([torch.stack([t[0] for t in times]) for _, times, _ in self.calls])

    def first_rows(self, i):
        return (torch.stack([call[kind][i][:1] for call in self.calls]) for kind in (0, 2))


def encoded(case, stored, coders):
    """Latents of the conditions from their images, where the set stores these."""
    repeats = case.get("n_samples", 1)
    latents = {}
    for name, image in part(stored, "image_u8.").items():
        latents[name] = image[None].float() / 127.5 - 1
    latents |= part(stored, "cond_input.")
    for name, value in latents.items():
        if f"posterior_noise.{name}" in stored:
            coder = coders(name)
            value = coder.latent(coder.moments(value), stored[f"posterior_noise.{name}"])
        latents[name] = value.repeat_interleave(repeats, dim=0)
    return latents


def autoencoders(family, case):
    """Codec of each group of a case."""
    if family == BETA:
        small = codec(family)
        return lambda name: small
    groups = {group["name"]: group for group in index(family)["nnets"][case["nnet"]]["groups"]}
    return lambda name: codec(family, groups[name]["vae"])


@pytest.mark.parametrize(("family", "name"), entries("sampler"))
def test_sampler(family, name):
    case = index(family)["sampler"][name]
    stored, net = read_tensors(family, case["file"]), network(family, case["nnet"])
    tolerance = 1e-3 if family == "cop_gen" or case.get("cfg_scale") else 5e-4
    order = case.get("order") or case["modalities"]
    assert [group.name for group in net.groups] == order
    coders = autoencoders(family, case)
    conditions = part(stored, "z_cond.")
    assert sorted(conditions) == sorted(case["condition"])
    for group, latent in encoded(case, stored, coders).items():
        assert_near(latent, conditions[group], 1e-4)
    recorded, extension = Recorded(net), "cfg_scale" in case
    found = sample(
        net,
        case["generate"],
        conditions,
        StoredNoise(stored, case["generate"], order),
        case["steps"],
        guidance=case.get("cfg_scale", 0.0),
        published_ignored=not extension,
    )
    assert sorted(found) == sorted(case["generate"])
    for group, latent in found.items():
        assert_near(latent, stored[f"z_out.{group}"], tolerance)
    assert len(recorded.calls) == case.get("network_evaluations", case["steps"])
    if "t_eval" in stored:
        assert_near(recorded.times(), stored["t_eval"], 1e-2)
    for group in part(stored, "trace.eps."):
        given, noise = recorded.first_rows(order.index(group))
        assert_near(given, stored[f"trace.z_in.{group}"], tolerance)
        assert_near(noise, stored[f"trace.eps.{group}"], tolerance)
    for group, image in part(stored, "decoded.").items():
        vector = found[group].shape[2] == 1 and found[group].shape == image.shape
        decoded = found[group] if vector else coders(group).decode(found[group])
        assert_near(decoded, image, tolerance)


@needs(BETA, "e2e/e2e.json")
def test_end_to_end():
    from PIL import Image

    folder = ROOT / BETA / "e2e"
    case, stored = read_json(BETA, "e2e/e2e.json"), read_tensors(BETA, "e2e/tensors.safetensors")
    net = cop_gen_from_tensors(
        read_pth(folder / case["nnet"]), latent_groups(case["config"], case), case["config"]["num_heads"], "e2e"
    )
    coder = codec(BETA)
    thumbnails = dict(zip(case["modalities"], sorted(path.name for path in (folder / "patches").iterdir()), strict=True))
    conditions = {}
    for name in case["condition"]:
        images = [np.array(Image.open(folder / "patches" / thumbnails[name] / f"{row}.png")) for row in case["row_source"]]
        values = torch.from_numpy(np.stack(images)).movedim(-1, 1).float() / 127.5 - 1
        conditions[name] = coder.latent(coder.moments(values), stored[f"posterior_noise.{name}"])
        assert_near(conditions[name], stored[f"z_cond.{name}"], 1e-3)
    stored["t_eval"] = torch.zeros(0)  # noise of the ignored is stored for every evaluation
    noise = StoredNoise(stored, case["generate"], case["modalities"])
    found = sample(net, case["generate"], conditions, noise, case["steps"], published_ignored=True)
    for name, latent in found.items():
        assert_near(latent, stored[f"z_out.{name}"], 1e-3)
        image = ((coder.decode(latent) + 1) / 2).clamp(0, 1)
        levels = (255 * image + 0.5).clamp(0, 255).to(torch.uint8).movedim(1, -1).numpy()
        for row, file in zip(levels, case["row_file"], strict=True):
            expected = np.array(Image.open(folder / "expected" / name / f"{file}.png"))
            difference = np.abs(row.astype(int) - expected)
            assert difference.max() <= 1
            assert (difference > 0).mean() <= 0.01

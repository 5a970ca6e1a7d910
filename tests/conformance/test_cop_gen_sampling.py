"""COP-GEN-Beta's and COP-GEN's autoencoders, solver and samplers give the authors' numbers."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")

from cop_gen_data import (  # noqa: E402
    ROOT,
    StoredNoise,
    assert_near,
    codec,
    entries,
    index,
    latent_groups,
    needs,
    network,
    one_thread,  # noqa: F401 (a fixture)
    part,
    read_json,
    read_pth,
    read_tensors,
)

from engine.networks.cop_gen_weights import cop_gen_from_tensors  # noqa: E402
from engine.samplers.any_to_any import sample  # noqa: E402
from engine.samplers.dpm_solver import singlestep, stage_orders, time_grid  # noqa: E402
from engine.samplers.schedule import Schedule, latent_diffusion_betas  # noqa: E402

BETA = "cop_gen_beta"


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


@pytest.mark.parametrize(("family", "name"), entries("vaes", field="tensors"))
def test_autoencoder(family, name):
    entry, coder = index(family)["vaes"][name], codec(family, name)
    assert 2 ** (len(entry["ddconfig"]["ch_mult"]) - 1) == entry["downsampling"]
    stored = part(read_tensors(family, entry["tensors"].split()[0]), f"{name}.")
    check_autoencoder(coder, stored, "decoded")
    assert_near(coder.moments(stored["image_rect"]), stored["moments_rect"], 1e-4)
    assert_near(coder.decode(stored["z_rect"]), stored["decoded_rect"], 1e-4)


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
        return lambda name: codec(family)
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
    recorded, extension = Recorded(net), "cfg_scale" in case
    found = sample(
        net,
        case["generate"],
        conditions,
        StoredNoise(stored, case["generate"], order, each_evaluation=not extension),
        case["steps"],
        guidance=case.get("cfg_scale", 0.0),
        published_ignored=not extension,
    )
    assert sorted(found) == sorted(case["generate"])
    for group, latent in found.items():
        assert_near(latent, stored[f"z_out.{group}"], tolerance)
    assert len(recorded.calls) == case.get("network_evaluations", case["steps"])
    if "t_eval" in stored:
        assert_near(recorded.times(), stored["t_eval"], 1e-3)
    for group in part(stored, "trace.eps."):
        given, noise = recorded.first_rows(order.index(group))
        assert_near(given, stored[f"trace.z_in.{group}"], tolerance)
        assert_near(noise, stored[f"trace.eps.{group}"], tolerance)
    for group, latent in encoded(case, stored, coders).items():
        assert_near(latent, conditions[group], 1e-4)
    for group, image in part(stored, "decoded.").items():
        vector = found[group].shape[2] == 1 and found[group].shape == image.shape
        decoded = found[group] if vector else coders(group).decode(found[group])
        assert_near(decoded, image, tolerance)


@needs(BETA, "e2e/e2e.json")
def test_end_to_end():
    from PIL import Image

    folder = ROOT / BETA / "e2e"
    case, stored = read_json(BETA, "e2e/e2e.json"), read_tensors(BETA, "e2e/tensors.safetensors")
    config, weights = case["config"], read_pth(folder / case["nnet"])
    net = cop_gen_from_tensors(weights, latent_groups(config, case), config["num_heads"], case["nnet"])
    coder, conditions = codec(BETA), {}
    for name in case["condition"]:
        patches = folder / "patches" / f"{name.replace('_', '').upper()}_thumbnail"
        images = np.stack([np.array(Image.open(patches / f"{row}.png")) for row in case["row_source"]])
        values = torch.from_numpy(images).movedim(-1, 1).float() / 127.5 - 1
        conditions[name] = coder.latent(coder.moments(values), stored[f"posterior_noise.{name}"])
        assert_near(conditions[name], stored[f"z_cond.{name}"], 1e-3)
    noise = StoredNoise(stored, case["generate"], case["modalities"], each_evaluation=True)
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

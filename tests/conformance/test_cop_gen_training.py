"""The joint recipe takes the authors' training steps: noise, loss, gradients, rates, weights and average."""

import re

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")
lightning = pytest.importorskip("lightning", reason="needs the [train] extra")

from cop_gen_data import (  # noqa: E402
    FAMILIES,
    ROOT,
    assert_near,
    network,
    one_thread,  # noqa: F401 (a fixture)
    part,
    read_json,
    read_tensors,
)

from training.tasks.joint_diffusion import JointDiffusionTask, Optimisation, factors  # noqa: E402


class Recorded(JointDiffusionTask):
    """Keeps what the conformance set tells of each pass and step."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.found, self.gradients, self.rates = [], [], []

    def losses(self, net, batch):
        losses = super().losses(net, batch)
        self.found.append((self.noisy(batch)[0], losses.detach()))
        return losses

    def on_before_optimizer_step(self, optimizer):
        self.rates.append(optimizer.param_groups[0]["lr"])
        self.gradients.append({name: p.grad.clone() for name, p in self.network.named_parameters()})


def passes(tensors, names):
    """(prefix of the tensors' names, batch) of every forward pass, in order."""
    prefixes = sorted({m[1] for name in tensors if (m := re.match(r"(step\d+\.(?:micro\d+\.)?)z0\.", name))})
    found = []
    for prefix in prefixes:
        stored = {kind: part(tensors, f"{prefix}{kind}.") for kind in ("z0", "eps", "n")}
        # Groups are named, or numbered in the network's order.
        keys = names if set(names) <= stored["z0"].keys() else [str(i) for i in range(len(names))]
        time = torch.stack([stored["n"][key] for key in keys], dim=1)
        batch = {
            "latent": {name: stored["z0"][key] for name, key in zip(names, keys, strict=True)},
            "noise": {name: stored["eps"][key] for name, key in zip(names, keys, strict=True)},
            "time": time,
            "learnt": torch.ones(time.shape),
        }
        found.append((prefix, keys, batch))
    return found


@pytest.fixture(params=FAMILIES)
def taken(request):
    """The set's settings and numbers, and a task that took its steps."""
    if not (ROOT / request.param / "train_steps.json").is_file():
        pytest.skip(f"no {ROOT / request.param}/train_steps.json (set EO_CONFORMANCE)")
    family = request.param
    case, tensors = read_json(family, "train_steps.json"), read_tensors(family, "train_steps.safetensors")
    plan = Optimisation(
        rate=case["lr"],
        rise_steps=case["warmup_steps"],
        betas=tuple(case["betas"]),
        decay=case["weight_decay"],
        averaging=case["ema_rate"],
    )
    task = Recorded(network(family, case["nnet"]).requires_grad_(True), plan)
    given = passes(tensors, task.names)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        accumulate_grad_batches=case.get("accumulation", 1),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, torch.utils.data.DataLoader([batch for *_, batch in given], batch_size=None))
    return case, tensors, task, given


def test_training_of_cop_gen(taken):
    case, tensors, task, given = taken
    assert given
    for (prefix, keys, _), (noisy, losses) in zip(given, task.found, strict=True):
        assert_near(losses.sum(dim=1), tensors[f"{prefix}loss"], 1e-5)
        for key, state in zip(keys, noisy, strict=True):
            if f"{prefix}xn.{key}" in tensors:
                assert_near(state, tensors[f"{prefix}xn.{key}"], 1e-5)
    assert task.rates == pytest.approx(case["lr_used_per_step"], abs=1e-12)
    watched = part(tensors, "step0.grad.")
    assert watched
    for name, gradient in watched.items():
        assert_near(task.gradients[0][name], gradient, 1e-5)


def determined(name, value):
    """Without the keys' bias, which softmax cancels: Adam makes whole steps of its rounding errors."""
    if not name.endswith("qkv.bias"):
        return value
    query, _, values = value.chunk(3)
    return torch.cat([query, values])


def test_weights_after_training_of_cop_gen(taken):
    case, tensors, task, _ = taken
    for prefix, norms, net in (
        ("final.param.", "final_param_l2", task.network),
        ("final.ema.", "final_ema_l2", task.average),
    ):
        state, watched = net.state_dict(), part(tensors, prefix)
        assert watched
        for name, value in watched.items():
            assert_near(determined(name, state[name]), determined(name, value), 1e-6)
        for name, norm in case.get(norms, {}).items():
            tolerance = 1e-4 if name.endswith("qkv.bias") else 1e-6
            assert float(state[name].double().norm()) == pytest.approx(norm, rel=tolerance)


def test_schedule_of_cop_gen_training(taken):
    _, tensors, *_ = taken
    if "schedule.cum_alphas" not in tensors:
        pytest.skip("the set has no table")
    alphas, sigmas = (factor.double() for factor in factors("noise"))
    assert_near(alphas**2, tensors["schedule.cum_alphas"], 1e-6)
    assert_near(sigmas**2, tensors["schedule.cum_betas"], 1e-6)

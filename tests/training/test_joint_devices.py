"""Several devices, accumulation, checkpointing and half precision train the same network."""

import pytest
import torch
from joint_stores import finish, fit_here, start, write_store

from engine.networks.cop_gen import CopGen, LatentGroup
from training.losses.diffusion import time_weight
from training.tasks.joint_diffusion import JointDiffusionTask, Optimisation, checkpoint_blocks, factors

PREDICTIONS = ["noise", "velocity", "flow", "data"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("store"), without=("place0_0",))


@pytest.fixture(scope="module")
def one(tmp_path_factory, store):
    run = fit_here(tmp_path_factory.mktemp("runs") / "one", store, "trainer.max_epochs=2")
    return weights(run)


def weights(run):
    return torch.load(run / "last.ckpt", weights_only=True)["state_dict"]


def assert_same(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=tolerance)


def test_two_processes_train_as_one_with_a_doubled_batch(store, one, tmp_path):
    two = ("trainer.accelerator=cpu", "trainer.devices=2", "+trainer.strategy=ddp", "trainer.max_epochs=2")
    finish(start(tmp_path / "two", store, *two, "data.drawing.batch_size=2"))
    assert_same(weights(tmp_path / "two"), one, 1e-6)


def test_accumulated_passes_train_as_one_batch(store, one, tmp_path):
    two = ("trainer.accumulate_grad_batches=2", "data.drawing.batch_size=2", "trainer.max_epochs=2")
    assert_same(weights(fit_here(tmp_path / "two", store, *two)), one, 1e-6)


def test_workers_and_checkpointing_do_not_change_the_result(store, one, tmp_path):
    more = ("data.drawing.workers=1", "task.checkpointing=true", "trainer.max_epochs=2")
    assert_same(weights(fit_here(tmp_path / "run", store, *more)), one, 1e-6)


def test_bfloat16_trains(store, one, tmp_path):
    found = weights(fit_here(tmp_path / "run", store, "trainer.precision=bf16-mixed", "trainer.max_epochs=2"))
    assert all(torch.isfinite(value).all() for value in found.values())
    assert found["network.pos_embed"].dtype == torch.float32
    assert_same(found, one, 2e-2)


GROUPS = [LatentGroup("a", 2, 4, 4), LatentGroup("b", 1, 1, 3, patch=1)]


def batch(times, learnt):
    generator = torch.Generator().manual_seed(0)
    shapes = {group.name: (len(times), *group.shape) for group in GROUPS}
    return {
        kind: {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        for kind in ("latent", "noise")
    } | {"time": torch.tensor(times), "learnt": torch.tensor(learnt)}


def task(**settings):
    torch.manual_seed(0)
    return JointDiffusionTask(CopGen(GROUPS, 16, 3, 2, 32), Optimisation(), **settings)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("weighting", ["uniform", "min-snr", "soft-min-snr"])
def test_absent_and_given_groups_do_not_count(prediction, weighting):
    fitted = task(prediction=prediction, weighting=weighting)
    given = batch([[0, 500], [1000, 7], [1000, 999]], [[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    states, _ = fitted.noisy(given)
    torch.testing.assert_close(states[0][0], given["latent"]["a"][0])
    torch.testing.assert_close(states[0][1], given["noise"]["a"][1])
    losses = fitted.losses(fitted.network, given)
    assert losses.isfinite().all()
    assert (losses[:2, 0] == 0).all()
    assert (losses[:, 1] > 0).all()
    losses.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in fitted.network.parameters())


@pytest.mark.parametrize("weighting", ["min-snr", "soft-min-snr"])
def test_weights_mean_the_same_for_every_prediction(weighting):
    alphas, sigmas = (factor[1:].double() for factor in factors("noise"))
    ratio = alphas**2 / sigmas**2
    of_clean = time_weight(weighting, 5.0, "data", alphas, sigmas)
    expected = ratio.clamp(max=5) if weighting == "min-snr" else 5 * ratio / (ratio + 5)
    torch.testing.assert_close(of_clean, expected)
    # The clean latent's error is sigma / alpha times that of the noise, sigma times that of the velocity.
    noise = time_weight(weighting, 5.0, "noise", alphas, sigmas)
    torch.testing.assert_close(noise, of_clean * sigmas**2 / alphas**2)
    velocity = time_weight(weighting, 5.0, "velocity", alphas, sigmas)
    torch.testing.assert_close(velocity, of_clean * sigmas**2)


def test_checkpointed_gradients_are_the_same():
    given = batch([[3, 500], [900, 7]], [[1.0, 1.0], [1.0, 1.0]])
    plain, saving = task(), task()
    checkpoint_blocks(saving.network)
    for fitted in (plain, saving):
        fitted.losses(fitted.network, given).sum().backward()
    assert plain.state_dict().keys() == saving.state_dict().keys()
    for one_, two in zip(plain.network.parameters(), saving.network.parameters(), strict=True):
        torch.testing.assert_close(one_.grad, two.grad)


def test_rates_rise_from_nothing_stay_and_fall():
    published = Optimisation()
    assert [published.share(step, 10**6) for step in (0, 2500, 5000, 10**5)] == [0, 0.5, 1, 1]
    falling = Optimisation(rise_steps=0, fall_steps=10)
    assert [falling.share(step, 100) for step in (0, 90, 95, 100)] == [1, 1, 0.5, 0.05]

"""Joint diffusion: solver, repeatable noise, and the rules for given, wanted and ignored groups."""

import copy
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")

from engine.errors import CancelledError, InputError, MissingPackageError  # noqa: E402
from engine.networks.cop_gen import CopGen, LatentGroup  # noqa: E402
from engine.samplers.any_to_any import JointDenoiser, sample  # noqa: E402
from engine.samplers.dpm_solver import data_prediction, singlestep, time_grid  # noqa: E402
from engine.samplers.keyed_noise import KeyedNoise  # noqa: E402
from engine.samplers.multistep import multistep  # noqa: E402
from engine.samplers.schedule import Schedule, latent_diffusion_betas  # noqa: E402

GROUPS = (
    LatentGroup("dem", 4, 8, 8),
    LatentGroup("s1", 3, 4, 6),
    LatentGroup("date", 1, 1, 3, patch=1),
)
NAMES = [group.name for group in GROUPS]


@pytest.fixture(scope="module")
def network():
    """Small random denoiser whose prediction depends on every group and time."""
    generator = torch.Generator().manual_seed(0)
    net = CopGen(GROUPS, width=32, depth=3, heads=4, hidden=64).requires_grad_(False).eval()
    for parameter in net.parameters():
        scale = 0.5 / parameter.shape[-1] ** 0.5 if parameter.ndim > 1 else 0.1
        base = 1.0 if parameter.ndim == 1 and float(parameter.mean()) > 0.5 else 0.0
        parameter.copy_(base + scale * torch.randn(parameter.shape, generator=generator))
    return net


def keyed(seed=7, samples=(0,), **corners):
    return KeyedNoise(GROUPS, seed, samples, corners)


def condition(name, rows=1, value=0.3):
    group = GROUPS[NAMES.index(name)]
    return torch.full((rows, *group.shape), value)


class Watched:
    """Latents and times that a network was given."""

    def __init__(self, net):
        self.calls = []
        self.handle = net.register_forward_pre_hook(lambda _m, inputs: self.calls.append(inputs))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.handle.remove()

    def latents(self, name):
        return [call[0][NAMES.index(name)] for call in self.calls]

    def times(self, name):
        return [call[1][NAMES.index(name)].tolist() for call in self.calls]


# Schedule and solver


@pytest.mark.parametrize("t", [0.0005, 0.001, 0.0123, 0.5, 1.0])
def test_schedule_keeps_variance_and_inverts(t):
    schedule = Schedule()
    assert schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2 == pytest.approx(1, abs=1e-12)
    assert schedule.time_of_lambda(schedule.lambda_(t)) == pytest.approx(t, abs=1e-9)


def test_schedule_meets_the_discrete_one():
    schedule, betas = Schedule(), latent_diffusion_betas()
    for n in (1, 500, 1000):
        assert schedule.alpha(n / 1000) ** 2 == pytest.approx(np.prod(1 - betas[:n]), rel=1e-12)


def gaussian_noise(schedule, mean, deviation):
    """The exact noise prediction where the data are normal."""

    def predict(x, t):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        return sigma * (x - alpha * mean) / (alpha**2 * deviation**2 + sigma**2)

    return predict


def exact_gaussian(schedule, x, t, mean, deviation):
    """Solution of the ODE: the standardised value does not change."""
    start = (x - schedule.alpha(1) * mean) / np.hypot(schedule.alpha(1) * deviation, schedule.sigma(1))
    return schedule.alpha(t) * mean + np.hypot(schedule.alpha(t) * deviation, schedule.sigma(t)) * start


def error_of(steps, last):
    """Largest error of the solver where the data are normal and the ODE has a solution on paper."""
    schedule, x = Schedule(), torch.linspace(-2, 2, 9, dtype=torch.float64)
    times = time_grid(steps, 1.0, last)
    found = singlestep(gaussian_noise(schedule, 0.7, 0.4), x, times, schedule)
    return float((found - exact_gaussian(schedule, x, last, 0.7, 0.4)).abs().max())


def test_solver_converges_with_third_order():
    coarse, fine = error_of(23, last=0.2), error_of(95, last=0.2)  # 4.1 times the steps: 2nd order gains 17
    assert coarse < 1e-3
    assert fine < coarse / 40


def test_solver_comes_near_the_data():
    assert error_of(50, last=1e-3) < 0.05
    assert error_of(400, last=1e-3) < error_of(50, last=1e-3) / 4


def test_solver_can_stop_and_go_on():
    schedule, x = Schedule(), torch.linspace(-2, 2, 9, dtype=torch.float64)
    times, predict = time_grid(60, 1.0, 0.1), gaussian_noise(schedule, 0.7, 0.4)
    half = singlestep(predict, x, times[:31], schedule)
    torch.testing.assert_close(half, exact_gaussian(schedule, x, times[30], 0.7, 0.4), rtol=0, atol=1e-3)
    whole = singlestep(predict, half, times[30:], schedule)
    torch.testing.assert_close(whole, exact_gaussian(schedule, x, 0.1, 0.7, 0.4), rtol=0, atol=2e-3)


def test_data_prediction_inverts_the_mixture():
    schedule, clean, noise = Schedule(), torch.tensor([0.2, -1.0]), torch.tensor([1.5, 0.3])
    mixed = schedule.alpha(0.4) * clean + schedule.sigma(0.4) * noise
    torch.testing.assert_close(data_prediction(mixed, noise, 0.4, schedule), clean)


@pytest.fixture
def diffusers():
    return pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")


def multistep_error(steps, deviation):
    """Largest error where the data are normal."""
    schedule, x = Schedule(), torch.linspace(-2, 2, 9, dtype=torch.float64)
    found = multistep(gaussian_noise(schedule, 0.7, deviation), x, steps, schedule)
    start = (x - schedule.alpha(1) * 0.7) / np.hypot(schedule.alpha(1) * deviation, schedule.sigma(1))
    return float((found - (0.7 + deviation * start)).abs().max())


def test_multistep_comes_near_the_data(diffusers):
    assert multistep_error(20, 0.4) < 0.2
    assert multistep_error(200, 0.4) < multistep_error(20, 0.4) / 8


@pytest.mark.parametrize("steps", [1, 3, 30])
def test_multistep_asks_for_the_noise_at_the_right_times(diffusers, steps):
    assert multistep_error(steps, 0.0) < 1e-5  # one clean value only: any other time would miss it


def test_multistep_needs_diffusers(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingPackageError, match="multistep solver needs diffusers"):
        multistep(lambda x, t: x, torch.zeros(1, 3), 2, Schedule())


# Noise


def test_overlapping_windows_see_the_same_noise():
    here, there = keyed(dem=[(10, -3)])("initial", "dem"), keyed(dem=[(13, 1)])("initial", "dem")
    torch.testing.assert_close(here[:, :, 3:, 4:], there[:, :, :-3, :-4], rtol=0, atol=0)


def test_noise_does_not_depend_on_the_batch():
    batch = keyed(samples=(4, 9), s1=[(0, 0), (5, 5)])("ignored", "s1", 2)
    alone = keyed(samples=(9,), s1=[(5, 5)])("ignored", "s1", 2)
    torch.testing.assert_close(batch[1:], alone, rtol=0, atol=0)


def test_every_draw_is_another_one():
    draws = [
        keyed(seed, samples)(purpose, "dem", evaluation).flatten()
        for seed, samples, purpose, evaluation in [
            (7, (0,), "initial", 0),
            (8, (0,), "initial", 0),
            (7, (1,), "initial", 0),
            (7, (0,), "ignored", 0),
            (7, (0,), "ignored", 1),
            (7, (0,), "unconditional", 0),
            (7, (0,), "posterior", 0),
        ]
    ]
    draws.append(keyed()("initial", "s1").flatten().repeat(4)[:256])
    draws.extend(channel.flatten().repeat(4) for channel in keyed()("initial", "dem")[0, 1:3])
    correlation = np.corrcoef(torch.stack(draws).numpy()) - np.eye(len(draws))
    assert np.abs(correlation).max() < 0.5  # 1 where two draws share their numbers


def test_noise_is_standard_normal():
    wide = LatentGroup("wide", 4, 128, 128)
    values = KeyedNoise([wide], 3, (0,))("initial", "wide").numpy()
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02


def test_groups_without_a_place_are_the_same_in_every_window():
    noise = keyed(samples=(5, 5), dem=[(0, 0), (64, 64)])
    date, dem = noise("initial", "date"), noise("initial", "dem")
    assert torch.equal(date[0], date[1])
    assert not torch.equal(dem[0], dem[1])


def test_noise_has_numbers_for_so_many_draws_only():
    with pytest.raises(ValueError, match="64 groups of 1024 channels"):
        KeyedNoise([LatentGroup(str(i), 1, 2, 2) for i in range(65)], 0, (0,))
    with pytest.raises(ValueError, match="evaluations"):
        keyed()("ignored", "dem", 2**14)


# Rules of joint sampling


def test_wanted_given_and_ignored_groups(network):
    given = condition("s1")
    with Watched(network) as watched:
        found = sample(network, ["dem"], {"s1": given}, keyed(), steps=5)
    assert {name: tuple(latent.shape) for name, latent in found.items()} == {"dem": (1, 4, 8, 8)}
    assert len(watched.calls) == 5
    assert all(torch.equal(latent, given) for latent in watched.latents("s1"))
    assert watched.times("s1") == [[0.0]] * 5
    assert all(torch.equal(latent, keyed()("ignored", "date")) for latent in watched.latents("date"))
    assert watched.times("date") == [[1000.0]] * 5
    np.testing.assert_allclose(
        np.ravel(watched.times("dem")), [1000 * t for t in time_grid(5)[:5]], rtol=1e-6
    )


def test_published_rule_for_ignored_groups(network):
    with Watched(network) as watched:
        sample(network, ["dem"], {"s1": condition("s1")}, keyed(), steps=4, published_ignored=True)
    for i, latent in enumerate(watched.latents("date")):
        assert torch.equal(latent, keyed()("ignored", "date", i))
    assert watched.times("date") == [[0.0]] * 4


def test_a_sample_does_not_depend_on_its_batch(network):
    def drawn(samples, corners):
        conditions = {"s1": condition("s1", len(samples))}
        noise = keyed(3, samples, dem=corners)
        return sample(network, ["date", "dem"], conditions, noise, steps=4)

    batch, alone = drawn((0, 6), [(0, 0), (8, 2)]), drawn((6,), [(8, 2)])
    assert list(batch) == ["dem", "date"]
    for name, latent in alone.items():
        torch.testing.assert_close(batch[name][1:], latent, rtol=0, atol=1e-4)


def test_guidance_is_the_formula(network):
    def predicted(conditions, noise, guidance):
        denoiser = JointDenoiser(network, ["dem"], conditions, noise, guidance)
        state = denoiser.initial()
        return denoiser(state, 0.6)

    given = {"s1": condition("s1"), "date": condition("date")}
    guided = predicted(given, keyed(), 1.5)
    plain = predicted(given, keyed(), 0.0)
    denoiser = JointDenoiser(
        network,
        ["dem"],
        {},
        lambda purpose, group, evaluation=0: keyed()(
            "unconditional" if purpose == "ignored" else purpose, group, evaluation
        ),
    )
    unguided = denoiser(denoiser.initial(), 0.6)
    torch.testing.assert_close(guided, plain + 1.5 * (plain - unguided), rtol=0, atol=1e-4)
    assert float((guided - plain).abs().max()) > 1e-3


@pytest.mark.parametrize(("given", "guidance", "rows"), [(["s1"], 0.0, 2), (["s1"], 0.5, 4), ([], 0.5, 2)])
def test_guidance_costs_a_branch_only_with_conditions(network, given, guidance, rows):
    conditions = {name: condition(name, 2) for name in given}
    with Watched(network) as watched:
        sample(network, ["dem"], conditions, keyed(samples=(0, 1)), steps=3, guidance=guidance)
    assert [len(latent) for latent in watched.latents("dem")] == [rows] * 3


def test_progress_and_cancel(network):
    seen = []

    def until_third(done, steps):
        seen.append((done, steps))
        if done == 2:
            raise CancelledError("The run was cancelled.")

    with Watched(network) as watched, pytest.raises(CancelledError):
        sample(network, NAMES, {}, keyed(), steps=6, on_evaluation=until_third)
    assert seen == [(0, 6), (1, 6), (2, 6)]
    assert len(watched.calls) == 2


@pytest.mark.parametrize(
    ("generate", "conditions", "steps", "message"),
    [
        ([], {}, 5, "Nothing was asked for; generate at least one of dem, s1, date"),
        (["ndvi"], {}, 5, "does not know ndvi; it knows dem, s1, date"),
        (["dem"], {"ndvi": condition("s1")}, 5, "does not know ndvi"),
        (["dem", "s1"], {"s1": condition("s1")}, 5, "s1 cannot be given and generated at once"),
        (["dem"], {"s1": condition("dem")}, 5, r"latent of s1 has the shape \[4, 8, 8\].*\[3, 4, 6\]"),
        (["dem"], {"s1": condition("s1", value=float("nan"))}, 5, "latent of s1 holds values that are not"),
        (["dem"], {"s1": condition("s1", value=float("inf"))}, 5, "latent of s1 holds values that are not"),
        (["dem"], {}, 0, "at least one step and was given 0"),
    ],
)
def test_refusals(network, generate, conditions, steps, message):
    with Watched(network) as watched, pytest.raises(InputError, match=message):
        sample(network, generate, conditions, keyed(), steps)
    assert not watched.calls


@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_multistep_costs_a_step_an_evaluation(diffusers, network, steps):
    with Watched(network) as watched:
        found = sample(network, ["dem"], {"s1": condition("s1")}, keyed(), steps, solver="multistep")
    times = np.ravel(watched.times("dem"))
    assert len(times) == steps
    assert times[0] == 1000
    assert np.all(np.diff(times) < 0)
    assert np.all(times == times.round())  # only the discrete times of the training
    assert torch.isfinite(found["dem"]).all()


def test_both_solvers_end_near_each_other(diffusers, network):
    ends = [
        sample(network, ["dem"], {"s1": condition("s1")}, keyed(), 100, solver=solver)["dem"]
        for solver in ("singlestep", "multistep")
    ]
    spread = float(ends[0].std())
    assert float((ends[0] - ends[1]).abs().mean()) < 0.05 * spread


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision(network, precision):
    exact = sample(network, ["dem"], {"s1": condition("s1")}, keyed(), steps=4)["dem"]
    half = copy.deepcopy(network).to(precision)
    rounded = sample(half, ["dem"], {"s1": condition("s1")}, keyed(), steps=4)["dem"]
    assert rounded.dtype == torch.float32
    assert float((rounded - exact).abs().max() / exact.abs().max()) < (
        0.05 if precision is torch.bfloat16 else 0.01
    )
    assert not torch.equal(rounded, exact)

"""Losses of students: the steps of the teacher, and what the networks are asked, are those of the engine."""

import pytest
import torch
from torch import nn

from engine.networks.cop_gen import CopGen, LatentGroup
from engine.samplers.any_to_any import JointDenoiser
from engine.samplers.dpm_solver import LAST_TIME, singlestep
from engine.samplers.keyed_noise import KeyedNoise
from engine.samplers.prediction import schedule_of
from training.losses.consistency import (
    Request,
    TimeFactors,
    clean_latents,
    earlier_time,
    guided_outputs,
    pseudo_huber,
    solver_step,
)
from training.tasks.joint_diffusion import initialised

GROUPS = (LatentGroup("dem", 4, 4, 4), LatentGroup("s1", 3, 8, 8), LatentGroup("date", 1, 1, 3, patch=1))
NAMES = [group.name for group in GROUPS]
PREDICTIONS = ("noise", "velocity", "flow", "data")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    net = initialised(CopGen(GROUPS, 32, 3, 4, 64)).requires_grad_(False).eval()
    for parameter in net.parameters():
        parameter += 0.2 * torch.randn_like(parameter)
    return net


def flags(*names):
    return torch.tensor([[name in names for name in NAMES]])


@pytest.mark.parametrize("prediction", ["velocity", "flow"])
def test_factors_are_those_of_the_schedule(prediction):
    schedule, times = schedule_of(prediction), [LAST_TIME, 0.0123, 0.5005, 0.77777, 0.9995, 1.0]
    alpha, sigma = TimeFactors(prediction)(torch.tensor(times))
    assert alpha.shape == (6, 1, 1, 1)
    torch.testing.assert_close(alpha.flatten(), torch.tensor([schedule.alpha(t) for t in times]))
    torch.testing.assert_close(sigma.flatten(), torch.tensor([schedule.sigma(t) for t in times]))


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("guidance", [0.0, 1.5])
def test_a_step_of_the_teacher_is_the_sampler_s(network, prediction, order, guidance):
    """Each row has its own time and its own request; each equals the engine's run of that row alone."""
    rows = [
        (("dem",), ("s1",), 0.9, 0.7),
        (("s1", "date"), (), 0.31, 0.3),
        (("dem",), ("s1", "date"), 0.6, 0.2),
    ]
    path, noise = TimeFactors(prediction), KeyedNoise(GROUPS, 5, range(len(rows)))
    latents = [torch.randn(3, *group.shape, generator=torch.Generator().manual_seed(1)) for group in GROUPS]
    noises = [noise("ignored", name) for name in NAMES]
    wanted, given = (torch.cat([flags(*row[i]) for row in rows]) for i in (0, 1))
    request = Request(latents, noises, wanted, given)
    start, end = (torch.tensor([row[i] for row in rows]) for i in (2, 3))
    states = request.states(*path(start))

    def clean(states, t):
        outputs = guided_outputs(network, request, states, t, guidance)
        return clean_latents(prediction, states, outputs, path(t))

    found = solver_step(clean, request, states, start, end, path, order)
    schedule = schedule_of(prediction)
    for i, (names, conditions, first, last) in enumerate(rows):

        def draws(purpose, name, evaluation=0, i=i):
            return noises[NAMES.index(name)][i : i + 1]

        known = {name: latents[NAMES.index(name)][i : i + 1] for name in conditions}
        denoiser = JointDenoiser(network, names, known, draws, guidance, prediction=prediction)
        before = denoiser.joined({name: states[NAMES.index(name)][i : i + 1] for name in names})
        times = [first, last] if order == 1 else [first, (first + last) / 2, last]
        expected = denoiser.split(singlestep(denoiser, before, times, schedule))
        for name in names:
            torch.testing.assert_close(
                found[NAMES.index(name)][i : i + 1], expected[name], rtol=2e-3, atol=2e-3
            )
        for j, name in enumerate(NAMES):
            if name not in names:
                still = latents if name in conditions else noises
                torch.testing.assert_close(found[j][i], still[j][i], rtol=0, atol=0)


class Certain(nn.Module):
    """Knows that the clean latents are all ``value``."""

    def __init__(self, value, path):
        super().__init__()
        self.value, self.path = value, path

    def forward(self, states, times):
        alpha, sigma = self.path(times[0] / 1000)
        return [(state - alpha * self.value) / sigma for state in states]


def test_a_teacher_that_is_certain_is_its_own_student():
    path = TimeFactors("noise")
    network = Certain(0.7, path)
    latents, noises = ([torch.randn(4, *group.shape) for group in GROUPS] for _ in range(2))
    request = Request(
        latents, noises, torch.ones(4, 3, dtype=torch.bool), torch.zeros(4, 3, dtype=torch.bool)
    )
    start = torch.tensor([1.0, 0.7, 0.4, 0.1])
    end = earlier_time(start, 8)
    states = request.states(*path(start))

    def clean(states, t):
        return clean_latents("noise", states, request.outputs(network, states, t), path(t))

    moved = solver_step(clean, request, states, start, end, path, 1)
    assert float(pseudo_huber(clean(states, start), clean(moved, end), request.wanted).max()) < 1e-4
    assert float(pseudo_huber(clean(states, start), moved, request.wanted).min()) > 0.01


def test_the_loss_counts_wanted_groups_alone_and_each_the_same():
    found = [torch.zeros(2, *group.shape) for group in GROUPS]
    expected = [x + 0.5 for x in found]
    wanted = torch.tensor([[True, True, False], [False, False, True]])
    losses = pseudo_huber(found, expected, wanted)
    torch.testing.assert_close(losses, 0.49946 * wanted, rtol=1e-4, atol=0)


def test_the_last_step_ends_where_the_sampler_ends():
    end = earlier_time(torch.tensor([1.0, 0.5, 0.1]), 4)
    torch.testing.assert_close(end, torch.tensor([0.75025, 0.25025, LAST_TIME]))

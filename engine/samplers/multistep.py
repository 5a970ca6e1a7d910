"""Multistep DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095) of diffusers, on this package's schedule."""

from __future__ import annotations

from torch import Tensor

from engine.errors import MissingPackageError
from engine.samplers.dpm_solver import PredictNoise
from engine.samplers.schedule import Schedule


def multistep(predict_noise: PredictNoise, x: Tensor, steps: int, schedule: Schedule) -> Tensor:
    """Carries noise along the probability-flow ODE, each step helped by the one before it.

    It stops at the discrete times that the network was fitted at, evenly spaced, and ends clean.

    Args:
        predict_noise: (state, time) -> the noise in it, shaped like the state.
        x: State at time 1, float32.
        steps: Evaluations of the network, 1 to the number of discrete times.
        schedule: The network's schedule.

    Returns:
        State at time 0.

    Raises:
        MissingPackageError: diffusers is not installed.
    """
    try:
        from diffusers import DPMSolverMultistepScheduler
    except ImportError:
        raise MissingPackageError(
            "The multistep solver needs diffusers, which is not installed; "
            "run: pip install 'eo-translate[diffusion]'."
        ) from None
    solver = DPMSolverMultistepScheduler(
        num_train_timesteps=len(schedule.betas),
        trained_betas=schedule.betas,
        algorithm_type="dpmsolver++",
        prediction_type="epsilon",
        timestep_spacing="trailing",
        final_sigmas_type="zero",
    )
    solver.set_timesteps(steps)
    for index in solver.timesteps.tolist():
        # diffusers counts the discrete times from 0, the schedule from 1.
        noise = predict_noise(x, float(schedule.times[index]))
        x = solver.step(noise, index, x).prev_sample
    return x

"""Noise schedules, solvers and rules of joint diffusion that diffusers does not have."""

"""Torch networks, parameter names equal to those of the published checkpoints they stand for."""

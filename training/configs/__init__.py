"""Hydra configuration of the experiments."""

"""Headless fitting of the models that the engine runs."""

"""How many examples the property tests draw: ten times as many with ``HYPOTHESIS_PROFILE=thorough``."""

import os

from hypothesis import HealthCheck, settings

_TIMES = {"default": 1, "thorough": 10}[os.environ.get("HYPOTHESIS_PROFILE", "default")]


def examples(count):
    """Settings for a property that ``count`` examples show in everyday use."""
    return settings(
        max_examples=count * _TIMES,
        deadline=None,  # other work shares the machine: a slow example is no failure
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )

"""Makes the helper modules beside this file importable from the folders below it."""

from hypothesis import settings

# Other work shares the machine: a slow example is no failure.
settings.register_profile("shared-machine", deadline=None, max_examples=40)
settings.load_profile("shared-machine")


def pytest_configure(config):
    # affine 3 prefers "@", which affine 2 (rasterio's minimum) does not have.
    config.addinivalue_line("filterwarnings", "ignore:Use `@` matmul:PendingDeprecationWarning")

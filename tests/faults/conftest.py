"""Makes the helper modules beside this file, and those of the engine's tests, importable."""

import sys
from pathlib import Path

_ENGINE_TESTS = str(Path(__file__).resolve().parents[1] / "engine")
if _ENGINE_TESTS not in sys.path:
    sys.path.append(_ENGINE_TESTS)


def pytest_configure(config):
    # affine 3 prefers "@", which affine 2 (rasterio's minimum) does not have.
    config.addinivalue_line("filterwarnings", "ignore:Use `@` matmul:PendingDeprecationWarning")

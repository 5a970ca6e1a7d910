"""``eo-train``: fit, evaluate, export and package models."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script."""
    import hydra

    from training.fit import fit

    hydra.main(config_path="configs", config_name="train", version_base="1.3")(fit)()


if __name__ == "__main__":
    sys.exit(main())

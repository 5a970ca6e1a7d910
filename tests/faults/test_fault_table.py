"""docs/faults.md names a test for each fault; each of them exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_test_that_the_table_names_exists_and_every_fault_test_is_in_it():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")))
    here = Path(__file__).resolve()
    ours = "\n".join(
        file.read_text(encoding="utf-8") for file in here.parent.glob("test_*.py") if file != here
    )
    others = "\n".join(
        file.read_text(encoding="utf-8")
        for folder in ("plugin", "engine")
        for file in (ROOT / "tests" / folder).rglob("test_*.py")
    )
    assert len(named) > 30
    assert named <= set(re.findall(r"def (test_\w+)\(", ours + others))
    assert set(re.findall(r"def (test_\w+)\(", ours)) <= named

"""Death at every single file operation of the finish: no chunk is made again, no older result is lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fault_jobs import Place, digest

from engine import job as engine_job
from engine.spec import Job

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")

HERE = Path(__file__).resolve().parent
COUNT = 2


@pytest.mark.parametrize(
    ("format", "older"),
    [("gtiff", True), ("cog", False), ("vrt", False)]
    + ([("gtiff", False), ("cog", True)] if "EO_TRANSLATE_KILLS" in os.environ else []),
    ids=lambda value: {True: "over-older", False: "new"}.get(value, value),
)
def test_a_kill_in_the_finish_makes_no_chunk_again(tmp_path, format, older):
    ending = "vrt" if format == "vrt" else "tif"
    place = Place(tmp_path, COUNT, f"out.{ending}", samples=2, resume="continue", format=format)
    place.document["uncertainty"] = str(place.out / f"spread.{ending}")
    before, old = tmp_path / "before", {}
    before.mkdir()
    if older:
        engine_job.run(Job.model_validate(place.changed(seed=99)))
        for file in place.files:
            shutil.copy(file, before)
            old[file.name] = digest(file)
    engine_job.run(Job.model_validate(place.document))
    new, names = {file.name: digest(file) for file in place.files}, place.names()
    assert all(old[name] != new[name] for name in old)

    points = 0
    for found in _each_death(place, before):
        points += 1
        assert found["error"] is None, found
        left = place.names()
        if found["journal"]:  # the finish was not over yet, and another run has done it
            assert any(f"{COUNT} of {COUNT} parts are done." in text for text in found["log"]), found
        else:
            left = [name for name in left if ".part" not in name]
        assert {file.name: digest(file) for file in place.files} == new, found
        assert left == names, found
    print(f"\n{format}: {points} deaths")
    assert points >= 5


def _each_death(place, before):
    file = place.folder / "job.json"
    file.write_text(json.dumps(place.document))
    process = subprocess.Popen(
        [sys.executable, str(HERE / "crash_points.py"), str(file), str(before)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent / "engine"), str(HERE)])},
    )
    try:
        for line in process.stdout:
            yield json.loads(line)
            process.stdin.write("\n")
            process.stdin.flush()
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()

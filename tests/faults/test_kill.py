"""SIGKILL at any moment: nothing that is finished is lost, and the pixels are those of an uninterrupted run.

``EO_TRANSLATE_KILLS=50`` (``make faults``) kills so often in every format; by default each gets a share.
"""

import os
import shutil
import sys
import time

import pytest
from fault_jobs import Place, Run, finished, journal_of, moments

from engine import job as engine_job
from engine.spec import Job

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")

COUNT = 24
# What may be on its way: a queue of 4 windows, the one waiting before it, one being encoded and the one
# that tells that its chunk is whole, one encoded, one waiting and one being written.
IN_FLIGHT = 10
VARIANTS = {
    "gtiff": (12, COUNT, {}),
    "two-files": (6, 8, {"samples": 2}),
    "cog": (8, COUNT, {"format": "cog"}),
    "vrt": (6, COUNT, {"format": "vrt", "output": "out.vrt"}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_runs_are_resumed_to_the_same_pixels(variant, tmp_path):
    share, count, fields = VARIANTS[variant]
    kills = int(os.environ.get("EO_TRANSLATE_KILLS", share))
    place = Place(tmp_path, count, **fields)
    place.document["resume"] = "continue"
    if variant == "two-files":
        place.document["uncertainty"] = str(place.out / "spread.tif")
    engine_job.run(Job.model_validate(place.document))
    expected, names = place.digest(), place.names()
    _clear(place)

    counts = Campaign(place, seed=sorted(VARIANTS).index(variant)).run(kills, expected, names)
    print(f"\n{variant}: {counts}")
    assert counts["kills"] == kills
    assert counts["filling"] >= kills // 4
    assert counts["most lost"] <= IN_FLIGHT


class Campaign:
    """Kills runs of one job again and again; a result that is there too early is checked and removed."""

    def __init__(self, place, seed):
        self._place, self._moments = place, moments(seed)
        self._output = place.document["output"]
        self.counts = dict.fromkeys(["kills", "filling", "finishing", "results", "lost", "most lost"], 0)

    def run(self, kills, expected, names):
        """Gives what happened, in numbers."""
        while self.counts["kills"] < kills:
            self._life()
            if os.path.exists(self._output) and not journal_of(self._output):
                self._check(expected, names)
                _clear(self._place)
        end, _ = finished(Run(self._place.document))
        assert end["event"] == "result", end
        self._check(expected, names)
        return self.counts

    def _check(self, expected, names):
        self.counts["results"] += 1
        assert self._place.digest() == expected
        # A lock that a kill has left behind is the next run's to remove.
        assert [n for n in self._place.names() if not n.endswith(".part.lock")] == names
        assert not list(self._place.out.glob("*/*.part"))

    def _life(self):
        before = journal_of(self._output)
        number = self.counts["kills"]
        kind = "parent" if number % 10 == 4 else "cli" if number % 3 == 2 else "worker"
        run = Run(self._place.document, kind)
        self._wait(run, len(before))
        killed = run.running and not run.published()
        events = run.kill()
        if not killed:
            assert run.published(), f"a {kind} ended without a result"
        after = journal_of(self._output)
        if killed:
            self.counts["kills"] += 1
            self.counts["filling"] += len(before) < len(after) < self._place.count
            self.counts["finishing"] += len(after) == self._place.count
        self._compare(events, before, after)

    def _wait(self, run, before):
        kind, chunks, share = next(self._moments)
        if kind == "start":
            until = run.started + share
            reached = lambda: time.monotonic() > until  # noqa: E731
        elif kind == "fill" and before == self._place.count:
            reached = lambda: False  # noqa: E731 (nothing left to fill: this one may finish)
        else:
            goal = min(before + chunks, self._place.count) if kind == "fill" else self._place.count
            reached = lambda: run.journalled() >= goal  # noqa: E731
        while run.running and not reached() and not run.published():
            time.sleep(0.002)
        if kind != "start":
            time.sleep(share * (0.03 if kind == "fill" else 0.2))

    def _compare(self, events, before, after):
        """The journal after a kill against the one before, and against what the run said it had evaluated."""
        said = [e["text"] for e in events if e["event"] == "log" and "interrupted run" in e["text"]]
        if said:
            assert said == [
                f"Continuing an interrupted run: {len(before)} of {self._place.count} parts are done."
            ]
        if not after:
            return
        assert after[: len(before)] == before
        assert len(set(after)) == len(after), "a finished chunk was made again"
        fractions = [e["fraction"] for e in events if e["event"] == "progress"]
        if fractions:
            lost = round(max(fractions) * self._place.count) - len(after)
            self.counts["lost"] += max(0, lost)
            self.counts["most lost"] = max(lost, self.counts["most lost"])


def _clear(place):
    shutil.rmtree(place.out)
    place.out.mkdir()

"""Runs a job and dies at its N-th file operation after the last chunk; then resumes it, for every N.

``python crash_points.py JOB_JSON SETUP``: one JSON object a line: point, chunks in the journal after the
death, what the resumed run logged, its error. Forked from one process that has loaded the engine but started
no thread yet, so that each point takes a fraction of a second.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from fault_jobs import journal_of

from engine import job as engine_job
from engine.errors import EOTranslateError
from engine.spec import Job

OPERATIONS = ("replace", "rename", "unlink", "link", "fsync", "truncate")


def main(document, before):
    """Every point, until a run gets through."""
    point = 1
    while True:
        _prepare(document, before)
        status = _forked(lambda point=point: _run_and_die(document, point))
        if status == 0:
            return
        left = len(journal_of(document["output"]))
        names = sorted(path.name for path in Path(document["output"]).parent.iterdir())
        report = Path(before).parent / "report.json"
        report.write_text(json.dumps({"log": [], "error": None}))
        if left:
            _forked(lambda report=report: report.write_text(json.dumps(_resume(document))))
        print(json.dumps({"point": point, "journal": left, "names": names} | json.loads(report.read_text())))
        sys.stdout.flush()
        input()
        point += 1


def _prepare(document, before):
    """The output folder as it was before the first run."""
    out = Path(document["output"]).parent
    shutil.rmtree(out)
    shutil.copytree(before, out)


def _forked(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(3)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return -1
    assert os.WEXITSTATUS(status) == 0
    return 0


def _run_and_die(document, point):
    count = 0

    def deadly(operation):
        def call(*arguments, **options):
            nonlocal count
            matters = operation is not unlink or os.path.lexists(arguments[0])
            count += armed and matters
            if count == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*arguments, **options)

        return call

    armed, unlink = False, os.unlink

    def on_progress(fraction, text):
        nonlocal armed
        armed = text == "Finishing the file"

    for name in OPERATIONS:
        setattr(os, name, deadly(getattr(os, name)))
    engine_job.run(Job.model_validate(document), on_progress)


def _resume(document):
    said = []
    try:
        engine_job.run(Job.model_validate(document), log=lambda level, text: said.append(text))
    except EOTranslateError as error:
        return {"log": said, "error": str(error)}
    return {"log": said, "error": None}


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])

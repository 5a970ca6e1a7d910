"""The worker's request ``evaluate``."""

from __future__ import annotations

import json
import subprocess
import sys

from evaluation_rasters import field, pair


def ask(**request) -> list[dict]:
    """Events of one request, but for heartbeats."""
    command = [sys.executable, "-m", "engine.worker"]
    # Its standard input stays open until it ends: a closed one would cancel the request.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        events = []
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] != "heartbeat":
                events.append(event)
            if event["event"] in ("result", "error"):
                process.kill()
                return events
    return events


def test_an_evaluation_answers_with_its_numbers(tmp_path):
    reference, result = pair(tmp_path, field(1), field(2))
    comparison = {
        "reference": {"path": reference},
        "results": [{"path": result}],
        "html": str(tmp_path / "r.html"),
    }
    *progress, answer = ask(id=1, type="evaluate", comparison=comparison)
    assert answer["result"]["results"][0]["scores"]["rmse"] > 0
    assert progress[-1] == {"id": 1, "event": "progress", "fraction": 1.0, "text": "Done"}
    assert (tmp_path / "r.html").is_file()


def test_a_wrong_setting_is_one_sentence(tmp_path):
    (answer,) = ask(id=1, type="evaluate", comparison={"reference": {"path": "a.tif"}, "results": []})
    assert answer["code"] == "input"
    assert "results" in answer["message"]

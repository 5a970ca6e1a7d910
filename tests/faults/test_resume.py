"""Resuming: what may have changed since, what may not, and journals and parts that are damaged."""

import json
import os
import shutil
import signal
import sys
import time

import numpy as np
import pytest
import tiny_models
from fault_jobs import CHUNK, Place, Run, digest, finished, journal_of, wait_for
from rasters import sar_values, write

from engine import job as engine_job
from engine.errors import CancelledError, OutputError
from engine.spec import Job

COUNT = 8


@pytest.fixture(scope="module")
def finished_place(tmp_path_factory):
    """A place whose job has been run, its digest, and the names that it left."""
    place = Place(tmp_path_factory.mktemp("resume"), COUNT, resume="continue")
    engine_job.run(Job.model_validate(place.document))
    return place, place.digest()


@pytest.fixture
def place(finished_place):
    place, _ = finished_place
    shutil.rmtree(place.out)
    place.out.mkdir()
    return place


@pytest.fixture
def expected(finished_place):
    return finished_place[1]


def run(document):
    """Runs a job in this process; gives what it said."""
    said = []
    engine_job.run(Job.model_validate(document), log=lambda level, text: said.append((level, text)))
    return said


def interrupt(document, chunks=3):
    """Cancels a run as soon as some chunks are finished; gives how many are."""
    with pytest.raises(CancelledError, match=f"of {COUNT} parts are finished and kept"):
        engine_job.run(
            Job.model_validate(document), is_cancelled=lambda: len(journal_of(document["output"])) >= chunks
        )
    return len(journal_of(document["output"]))


def refusal(document):
    """The sentence with which a run is refused."""
    with pytest.raises(OutputError) as caught:
        run(document)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def continued(said):
    """The sentence that says how a run was continued."""
    (text,) = [text for _, text in said if "Continuing" in text]
    return text


def other_model(place):
    folder = place.folder / "other"
    return str(folder / "tiny") if folder.exists() else tiny_models.package(folder, noise=(1, 8))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda place: {"seed": 6}, "seed was 5 and is 6"),
        (lambda place: {"model": other_model(place)}, "package.noise.cells_px was [1, 4] and is [1, 8]"),
        (lambda place: {"extent": (500_000, 4_970_000, 500_200, 5_000_000)}, "extent was not given and is"),
        (lambda place: {"chunk_px": 2 * CHUNK}, f"chunk_px was {CHUNK} and is {2 * CHUNK}"),
        (lambda place: {"creation_options": {"COMPRESS": "LZW"}}, "creation_options.COMPRESS was not given"),
        (lambda place: {"inputs": {"sar": {"path": place.sar, "units": "linear"}}}, "inputs.sar.units was"),
    ],
    ids=["seed", "model", "extent", "chunk", "creation option", "units"],
)
def test_another_job_is_not_continued_and_says_what_changed(place, expected, change, words):
    interrupt(place.document)
    before = place.names()
    text = refusal(place.changed(**change(place)))
    assert "was another job" in text
    assert words in text
    assert "--restart" in text
    assert [n for n in place.names() if n in before] == before, "a refused run must leave the parts"
    run(place.document)
    assert place.digest() == expected


def test_without_a_word_an_interrupted_run_is_asked_about(place, expected):
    done = interrupt(place.document)
    text = refusal(place.changed(resume="ask"))
    assert f"{done} of {COUNT} parts done" in text
    assert "--resume" in text
    assert "--restart" in text
    assert "Continuing" not in str(run(place.changed(resume="restart")))
    assert place.digest() == expected
    assert place.names() == ["out.tif"]


def test_a_changed_input_is_named(place, expected, tmp_path):
    """The same path and size, other pixels."""
    own = str(shutil.copy(place.sar, tmp_path / "scene of May.tif"))
    document = place.changed(inputs={"sar": {"path": own, "units": "db"}})
    interrupt(document)
    values = sar_values(CHUNK * COUNT - 7, 40)
    values[:, 100:140] += 1
    write(own, values)
    text = refusal(document)
    assert f"the file {own} has changed" in text
    shutil.copy(place.sar, own)
    run(document)
    assert place.digest() == expected


def test_only_the_date_of_an_input_changed(place, expected):
    done = interrupt(place.document)
    for file in (place.sar, *place.out.iterdir()):
        os.utime(file, (0, 2e9))
    assert continued(run(place.document)).startswith(f"Continuing an interrupted run: {done} of")
    assert place.digest() == expected


def test_a_clock_that_jumps(place, expected, monkeypatch):
    jumps = iter(np.random.default_rng(0).uniform(-1e9, 1e9, 10_000_000))
    monkeypatch.setattr(time, "time", lambda: 1.7e9 + next(jumps))
    monkeypatch.setattr(time, "time_ns", lambda: int(1.7e18 + 1e9 * next(jumps)))
    done = interrupt(place.document)
    assert f"{done} of {COUNT}" in continued(run(place.document))
    assert place.digest() == expected


def torn(data):
    return data[:-20]


def garbage_inside(data):
    lines = data.split(b"\n")
    return b"\n".join([*lines[:2], b"\xff\0garbage", *lines[2:]])


def foreign_line(data):
    return data + b'{"chunk": 900, "stored": [{"where": 1}], "device": "cpu"}\n'


def without_its_job(data):
    lines = data.split(b"\n")
    return b"\n".join([b'{"journal": 1, "chunks": 8}', *lines[1:]])


@pytest.mark.parametrize(
    ("harm", "left"),
    [
        (torn, lambda done: done - 1),
        (garbage_inside, lambda done: 1),
        (foreign_line, lambda done: done),
        (lambda data: data + b"\xff\xfe\0\0", lambda done: done),
        (without_its_job, None),
        (lambda data: b"", None),
        (lambda data: b"\0" * 5000, None),
        (lambda data: b"[" * 100_000 + b"\n", None),
        (lambda data: b"\xff" + data, None),
    ],
    ids=["torn", "inside", "foreign", "behind", "headless", "empty", "zeros", "deep", "binary"],
)
def test_a_damaged_journal_costs_only_what_it_no_longer_tells(place, expected, harm, left):
    done = interrupt(place.document)
    journal = place.out / "out.tif.part.jsonl"
    journal.write_bytes(harm(journal.read_bytes()))
    said = run(place.document)
    if left is None:
        assert not [text for _, text in said if "Continuing" in text]
        assert [level for level, text in said if "starting over" in text] == ["warning"]
    else:
        assert f"{left(done)} of {COUNT} parts" in continued(said)
    assert place.digest() == expected
    assert place.names() == ["out.tif"]


def test_a_journal_of_a_newer_release_is_not_touched(place, expected):
    interrupt(place.document)
    journal = place.out / "out.tif.part.jsonl"
    lines = journal.read_text().splitlines()
    head = {**json.loads(lines[0]), "journal": 999}
    journal.write_text("\n".join([json.dumps(head), *lines[1:], ""]))
    before = journal.read_bytes(), (place.out / "out.tif.part").read_bytes()
    text = refusal(place.document)
    assert "another release" in text
    assert "--restart" in text
    assert (journal.read_bytes(), (place.out / "out.tif.part").read_bytes()) == before
    run(place.changed(resume="restart"))
    assert place.digest() == expected


@pytest.mark.parametrize("ending", [".part", ".part.jsonl", ".part.lock"])
def test_a_folder_in_the_way_is_a_sentence(place, ending):
    folder = place.out / f"out.tif{ending}"
    folder.mkdir()
    (folder / "mine").write_text("keep")
    text = refusal(place.document)
    assert f"out.tif{ending}" in text
    assert [path.name for path in place.out.iterdir() if path.name != folder.name] == []
    assert (folder / "mine").read_text() == "keep"


@pytest.mark.parametrize("where", ["truncated", "middle", "zeros", "tags", "head", "gone", "empty"])
def test_damaged_parts_are_made_again_and_no_others(place, expected, where):
    done = interrupt(place.document, 4)
    part, journal = place.out / "out.tif.part", place.out / "out.tif.part.jsonl"
    stored = [json.loads(line)["stored"][0] for line in journal.read_text().splitlines()[1:]]
    data = bytearray(part.read_bytes())
    second, last = stored[1], stored[-1]
    lost = 1
    if where == "truncated":
        del data[last["at"] + last["size"] // 2 :]
    elif where == "middle":
        data[second["at"] + second["size"] // 2] ^= 1
    elif where == "zeros":
        data[second["at"] : stored[2]["at"] + 10] = bytes(stored[2]["at"] + 10 - second["at"])
        lost = 2
    elif where == "tags":
        data[stored[0]["at"] - 30] ^= 0x20
        lost = None
    elif where == "head":
        data[:16] = bytes(16)
        lost = 0  # the journal holds these bytes
    else:
        data.clear()
        lost = None
    part.write_bytes(data)
    if where == "gone":
        part.unlink()
    said = run(place.document)
    if lost is None:
        assert [level for level, text in said if "starting over" in text] == ["warning"]
    else:
        assert f" {done - lost} of {COUNT} parts are done" in continued(said)
        assert (f"; {lost} more were damaged and are made again." in continued(said)) == (lost > 0)
    assert place.digest() == expected
    assert place.names() == ["out.tif"]


def test_a_damaged_part_of_a_vrt_is_made_again(tmp_path):
    place = Place(tmp_path, COUNT, "out.vrt", format="vrt", resume="continue")
    run(place.document)
    expected = place.digest()
    shutil.rmtree(place.out)
    place.out.mkdir()
    done = interrupt(place.document, 4)
    one, two, *_ = sorted((place.out / "out_parts").iterdir())
    one.write_bytes(one.read_bytes()[:-9])
    two.unlink()
    (place.out / "out_parts" / f"{two.name}.4711.part").write_bytes(b"half of it")
    assert f" {done - 2} of {COUNT} parts are done; 2 more were damaged" in continued(run(place.document))
    assert place.digest() == expected
    assert len(list((place.out / "out_parts").iterdir())) == COUNT


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_has_the_name_of_the_parts_of_a_vrt_is_not_touched(tmp_path, kind):
    place = Place(tmp_path, COUNT, "out.vrt", format="vrt")
    taken = place.out / "out_parts"
    mine = taken
    if kind == "folder":
        taken.mkdir()
        mine = taken / "row of houses.txt"
    mine.write_text("keep")
    assert "something else has it" in refusal(place.document)
    assert mine.read_text() == "keep"
    assert place.names() == ["out_parts"]


posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@posix
@pytest.mark.parametrize("end", [signal.SIGCONT, signal.SIGKILL], ids=["first goes on", "first is killed"])
def test_a_second_run_of_one_output_is_refused_at_once(place, expected, end):
    first = Run(place.document)
    wait_for(lambda: first.journalled() >= 1)
    first.process.send_signal(signal.SIGSTOP)
    before = {path.name: path.read_bytes() for path in place.out.iterdir()}
    for resume in ("ask", "continue", "restart"):
        started = time.monotonic()
        assert "Another run is writing" in refusal(place.changed(resume=resume))
        assert time.monotonic() - started < 5
    assert {path.name: path.read_bytes() for path in place.out.iterdir()} == before
    if end == signal.SIGKILL:
        first.kill()
        assert "Continuing" in continued(run(place.document))
    else:
        first.process.send_signal(end)
        result, _ = finished(first)
        assert result["event"] == "result"
    assert place.digest() == expected
    assert place.names() == ["out.tif"]


@pytest.mark.parametrize("format", ["gtiff", "cog", "vrt"])
def test_a_path_with_spaces_umlauts_and_200_characters(tmp_path, place, expected, format):
    folder = tmp_path / "Übersicht der Hügel (neu) 100% #1 & 'alt'" / "süd & ost"
    folder.mkdir(parents=True)
    stem = "Größe " + "ä b" * 20 + "x" * 200
    suffix = "vrt" if format == "vrt" else "tif"
    own = shutil.copy(place.sar, folder / f"{stem[:200]}.tif")
    out = folder / "Ergebnis 1"
    out.mkdir()
    output = out / f"{stem[:200]}.{suffix}"
    assert len(output.name) == 204
    document = place.changed(
        inputs={"sar": {"path": str(own), "units": "db"}}, output=str(output), format=format
    )
    done = interrupt(document)
    assert f" {done} of {COUNT} parts are done." in continued(run(document))
    assert digest(output) == expected
    assert len(list(out.iterdir())) == (2 if format == "vrt" else 1)


def test_a_name_that_is_too_long_is_a_sentence(place):
    text = refusal(place.changed(output=str(place.out / ("x" * 246 + ".tif"))))
    assert "too long" in text
    assert place.names() == []

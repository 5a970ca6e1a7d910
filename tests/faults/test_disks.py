"""Disks that are full, read-only or gone: a sentence, the parts are kept, and the pixels are the same."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fault_jobs import Place, journal_of

from engine import job as engine_job
from engine.errors import OutputError
from engine.raster import writer
from engine.spec import Job

COUNT = 8


def mount(folder, *options):
    subprocess.run(["mount", *options, str(folder)], check=True, capture_output=True)


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of its own in memory (bytes); skips the test where that is not allowed."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root on Linux can mount a small disk")
    try:
        mount(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"mount is not allowed here: {error.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def command(place, *options):
    """Runs the job as a user does; gives (exit code, the words on stderr)."""
    file = place.folder / "job.json"
    file.write_text(json.dumps(place.document))
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", "run", str(file), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.strip()


def whole_run(place):
    """Digest of an undisturbed run, bytes of its chunks, and bytes of its result."""
    sizes = []

    def on_progress(fraction, text):
        if text == "Finishing the file":
            sizes.append(Path(f"{place.document['output']}.part").stat().st_size)

    engine_job.run(Job.model_validate(place.document), on_progress)
    digest, result = place.digest(), place.files[0].stat().st_size
    shutil.rmtree(place.out)
    place.out.mkdir()
    return digest, sizes[0], result


PAGE = 4096


@pytest.mark.parametrize(
    ("when", "format"), [("filling", "gtiff"), ("overviews", "gtiff"), ("copy", "cog"), ("filling", "vrt")]
)
def test_a_full_disk_is_a_sentence_and_the_parts_are_kept(tmp_path, when, format):
    place = Place(tmp_path, COUNT, "out.vrt" if format == "vrt" else "out.tif", format=format)
    if format == "vrt":
        engine_job.run(Job.model_validate(place.document))
        expected, filled, result = place.digest(), 60_000 * COUNT, 0
        shutil.rmtree(place.out)
        place.out.mkdir()
    else:
        expected, filled, result = whole_run(place)
    size = {"filling": filled * 6 // 10, "overviews": filled + 5 * PAGE, "copy": filled + result // 2}[when]
    with small_disk(place.out, size):
        code, words = command(place)
        assert code == 1
        assert "disk is full" in words or "No space left" in words
        assert "make room" in words
        done = len(journal_of(place.document["output"]))
        assert f"{done} of {COUNT} parts are finished and kept" in words
        assert 0 < done < COUNT if when == "filling" else done == COUNT
        assert not place.files[0].exists()

        code, again = command(place, "--resume")  # still no room: as before, nothing is lost
        assert code == 1
        assert "make room" in again
        assert len(journal_of(place.document["output"])) >= done

        mount(place.out, "-o", "remount,size=50m")
        code, words = command(place, "--resume")
        assert code == 0, words
        assert f"{COUNT} parts are done." in words
        assert place.digest() == expected
        assert place.names() == (["out.vrt", "out_parts"] if format == "vrt" else ["out.tif"])


def test_a_read_only_place_is_a_sentence(tmp_path):
    place = Place(tmp_path, 2)
    with small_disk(place.out, 1 << 20):
        mount(place.out, "-o", "remount,ro")
        code, words = command(place)
        assert code == 1
        assert "cannot be written" in words
        assert place.names() == []


def test_a_read_only_place_with_an_interrupted_run_is_a_sentence(tmp_path):
    place = Place(tmp_path, COUNT)
    with small_disk(place.out, 1 << 20):
        started = subprocess.Popen([sys.executable, "-c", _dies_after(place, 3)])
        assert started.wait(60) == -9
        names = place.names()
        mount(place.out, "-o", "remount,ro")
        code, words = command(place, "--resume")
        assert code == 1
        assert "cannot be written" in words
        assert place.names() == names
        mount(place.out, "-o", "remount,rw")
        assert command(place, "--resume")[0] == 0


def _dies_after(place, chunks):
    return (
        "import os, signal, json\n"
        "from engine import job\nfrom engine.spec import Job\n"
        "calls = []\n"
        f"path = {str(place.document['output']) + '.part.jsonl'!r}\n"
        "def on_progress(fraction, text):\n"
        f"    if open(path).read().count('\\n') > {chunks}: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"job.run(Job.model_validate({place.document!r}), on_progress)\n"
    )


def refused(place, disturb, chunks=2):
    """Runs in this process, disturbs once some chunks are finished; gives the sentence of the failure."""
    disturbed = []

    def on_progress(fraction, text):
        if not disturbed and len(journal_of(place.document["output"])) >= chunks:
            disturbed.append(disturb())

    with pytest.raises(OutputError) as caught:
        engine_job.run(Job.model_validate(place.document), on_progress)
    assert disturbed
    return str(caught.value)


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.ESTALE, errno.EDQUOT, errno.ENOSPC])
def test_a_share_that_fails_in_the_middle_of_a_part_is_a_sentence(tmp_path, monkeypatch, code):
    """What the system says on a failing disk or share, half of a part written."""
    place, broken = Place(tmp_path, COUNT), []

    class Failing(writer.FileIO):
        def write(self, data):
            if broken:
                super().write(bytes(data[: len(data) // 2]))
                raise OSError(code, os.strerror(code))
            return super().write(data)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "FileIO", Failing)
        text = refused(place, lambda: broken.append(True))
    done = len(journal_of(place.document["output"]))
    assert ("disk is full" if code == errno.ENOSPC else os.strerror(code)) in text
    assert f"{done} of {COUNT} parts are finished and kept" in text
    said = []
    resumed = Job.model_validate(place.changed(resume="continue"))
    engine_job.run(resumed, log=lambda level, text: said.append(text))
    assert any(f" {done} of {COUNT} parts are done." in text for text in said)
    assert place.digest() == whole_run(place)[0]


@pytest.mark.parametrize("format", ["gtiff", "cog", "vrt"])
def test_an_output_folder_that_is_removed_is_a_sentence(tmp_path, format):
    place = Place(tmp_path, COUNT, "out.vrt" if format == "vrt" else "out.tif", format=format)
    text = refused(place, lambda: shutil.rmtree(place.out))
    assert "No such file" in text
    assert "cannot be reached any more" in text
    place.out.mkdir(exist_ok=True)
    engine_job.run(Job.model_validate(place.document))
    assert place.digest()


def test_an_output_share_that_is_lost_is_a_sentence(tmp_path):
    """The folder is another one all of a sudden, as when a share is unmounted."""
    place = Place(tmp_path, COUNT)
    with small_disk(place.out, 50 << 20):
        text = refused(place, lambda: subprocess.run(["umount", "-l", str(place.out)], check=True))
        assert "No such file" in text
        assert "cannot be reached any more" in text
        assert place.names() == []


def test_a_removed_output_is_noticed_within_seconds_and_not_at_the_end(tmp_path, monkeypatch):
    from engine import journal

    monkeypatch.setattr(journal, "_SYNC_S", 0)  # as if each part took long
    place, made = Place(tmp_path, COUNT), []
    monkeypatch.setattr(
        journal.JournalWriter,
        "add",
        lambda self, record, add=journal.JournalWriter.add: made.append(record) or add(self, record),
    )
    text = refused(place, lambda: shutil.rmtree(place.out), 2)
    assert "No such file" in text
    assert len(made) < COUNT

"""Weights straight from a hub: pinned, resumed in a run and from run to run, checked, and only they."""

import hashlib
import json
import os
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion)")
pytest.importorskip("diffusers", reason="diffusers is not installed (extra: diffusion)")
huggingface_hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

from hub_stand_in import COMMIT, Hub  # noqa: E402
from joint_packages import HEADS, beta_files, cop_gen_files  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from engine.cli_models import app  # noqa: E402
from engine.errors import EOTranslateError, InputError, ModelError, OutputError  # noqa: E402
from engine.models.hub import fetch  # noqa: E402
from engine.models.joint_families import autoencoder_files  # noqa: E402
from engine.models.store import find  # noqa: E402

CONTENT = os.urandom(300_000)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    for name in ("DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    # What of a broken answer is kept is whole chunks, of 10 MB by default.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 14)
    monkeypatch.setattr("time.sleep", lambda _: None)  # between attempts
    made = Hub()
    made.files["owner/name", "weights.pth"] = CONTENT
    with made.serving() as address:
        monkeypatch.setenv("HF_ENDPOINT", f"{address}/")
        yield made


@pytest.fixture
def downloads(tmp_path):
    return tmp_path / "CACHE" / "eo-translate" / "downloads"


def fails(error, match, *arguments):
    with pytest.raises(error, match=match) as caught:
        fetch(*(arguments or ("owner/name", "main", ["weights.pth"])))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("revision", [COMMIT, "main", "v1"])
def test_a_branch_is_resolved_to_a_commit_which_every_file_comes_from(hub, revision):
    hub.files["owner/name", "folder/b.pth"] = b"second"
    snapshot = fetch("owner/name", revision, ["weights.pth", "folder/b.pth"])
    assert snapshot.commit == COMMIT
    assert snapshot.files["weights.pth"].read_bytes() == CONTENT
    assert snapshot.files["folder/b.pth"].read_bytes() == b"second"
    assert [address for address, _ in hub.sent("GET")] == [
        f"/owner/name/resolve/{COMMIT}/weights.pth",
        f"/owner/name/resolve/{COMMIT}/folder/b.pth",
    ]


def test_nothing_is_fetched_twice_and_forgotten_files_are_gone(hub, downloads):
    fetch("owner/name", COMMIT, ["weights.pth"])
    snapshot = fetch("owner/name", "main", ["weights.pth"])
    assert len(hub.sent("GET")) == 1
    snapshot.forget()
    assert [p.name for p in downloads.iterdir()] in ([], ["lock"])


def test_broken_connection_goes_on_where_it_stopped(hub):
    hub.break_after = [100_000]
    assert fetch("owner/name", COMMIT, ["weights.pth"]).files["weights.pth"].read_bytes() == CONTENT
    (_, first), (_, second) = hub.sent("GET")
    assert first is None
    start = int(second.removeprefix("bytes=").rstrip("-"))
    assert 0 < start <= 100_000


def test_the_next_run_goes_on_where_a_killed_one_stopped(hub, downloads):
    hub.break_after = [100_000] + [0] * 20
    fails(ModelError, "goes on where it stopped")
    (part,) = downloads.glob("*.part")
    kept = part.stat().st_size
    assert part.read_bytes() == CONTENT[:kept]
    assert kept > 0
    hub.break_after.clear()
    hub.requests.clear()
    assert fetch("owner/name", COMMIT, ["weights.pth"]).files["weights.pth"].read_bytes() == CONTENT
    assert hub.sent("GET") == [(f"/owner/name/resolve/{COMMIT}/weights.pth", f"bytes={kept}-")]
    assert list(downloads.glob("*.part")) == []


def test_damaged_download_is_deleted(hub, downloads):
    hub.checksum = hashlib.sha256(b"another file").hexdigest()
    fails(ModelError, "arrived damaged")
    assert [p.name for p in downloads.iterdir()] == ["lock"]


def test_unfinished_file_that_is_damaged_is_fetched_anew_by_the_next_run(hub, downloads):
    downloads.mkdir(parents=True)
    digest = hashlib.sha256(CONTENT).hexdigest()
    (downloads / f"{digest}.pth.part").write_bytes(b"x" * 1000)
    fails(ModelError, "run the same command again")
    assert fetch("owner/name", "main", ["weights.pth"]).files["weights.pth"].read_bytes() == CONTENT


def test_file_kept_in_git_itself_is_checked_by_gits_own_checksum(hub):
    hub.checksum = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
    assert fetch("owner/name", "main", ["weights.pth"]).files["weights.pth"].read_bytes() == CONTENT


def test_what_the_hub_does_not_have(hub):
    fails(ModelError, "no public repository", "owner/other", "main", ["weights.pth"])
    fails(InputError, "no revision v9", "owner/name", "v9", ["weights.pth"])
    fails(ModelError, "no file gone.pth", "owner/name", "main", ["gone.pth"])
    fails(InputError, "owner/name", "../etc/passwd", "main", ["weights.pth"])
    fails(InputError, "which revision", "owner/name", "", ["weights.pth"])
    hub.refuse = (403, "GatedRepo")
    fails(ModelError, "agreed to its terms")


def test_answers_that_cannot_be_trusted(hub):
    hub.commit = "f" * 40
    fails(ModelError, "gave the commit ffff", "owner/name", COMMIT, ["weights.pth"])
    hub.commit = "main"
    fails(ModelError, "could not be checked")
    hub.commit, hub.checksum = None, "W-1234"
    fails(ModelError, "could not be checked")
    assert hub.sent("GET") == []


def test_unreachable_hub(hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    fails(ModelError, r"cannot be fetched from http://127\.0\.0\.1:9")


def test_offline_by_the_users_own_setting(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()
    try:
        fails(ModelError, "HF_HUB_OFFLINE")
    finally:
        monkeypatch.undo()
        huggingface_hub.close_session()


def test_no_room(hub, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    fails(OutputError, "make room first")
    assert hub.sent("GET") == []


def command(*arguments):
    return CliRunner().invoke(app, ["import", *(str(argument) for argument in arguments)])


def test_beta_from_two_repositories(hub, tmp_path, downloads):
    weights, autoencoder = beta_files(tmp_path)
    hub.files["authors/beta", "nnet_ema_114000.pth"] = weights.read_bytes()
    hub.files["others/vae", "kl/f8.pth"] = autoencoder.read_bytes()
    hub.break_after = [20_000]
    made = command(
        *("--family", "cop-gen-beta", "--hub", "authors/beta", "--revision", "main", "--heads", HEADS),
        *("--hub-autoencoder", "others/vae:kl/f8.pth", "--autoencoder-revision", COMMIT, "beta"),
    )
    assert made.exit_code == 0, made.output
    origin = find("beta").training["imported_from"]
    assert {k: (v["hub"], v["revision"]) for k, v in origin.items()} == {
        "model": ("authors/beta", COMMIT),
        "autoencoder": ("others/vae", COMMIT),
    }
    assert origin["model"]["file"] == "nnet_ema_114000.pth"
    assert [p.name for p in downloads.iterdir()] == ["lock"]


def test_cop_gen_takes_its_eleven_files_and_no_other(hub, tmp_path):
    weights, folder = cop_gen_files(tmp_path)
    hub.files["authors/base", "500000_nnet_ema.pth"] = weights.read_bytes()
    hub.files["authors/base", "modeling.py"] = b"raise SystemExit"
    for path in autoencoder_files("cop-gen").values():
        hub.files["authors/vaes", path] = (folder / path).read_bytes()
    arguments = (
        *("--family", "cop-gen", "--hub", "authors/base", "--revision", COMMIT, "--heads", HEADS, "--json"),
        *("--hub-autoencoder", "authors/vaes", "--autoencoder-revision", "main", "cop-gen"),
    )
    made = command(*arguments)
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["outputs"][0] == "position"
    assert len(hub.sent("GET")) == 11
    assert not any("modeling" in address for address, _ in hub.sent("GET"))


def test_name_in_use_is_said_before_anything_is_fetched(hub, tmp_path):
    weights, autoencoder = beta_files(tmp_path)
    options = ("--family", "cop-gen-beta", "--heads", HEADS, "--autoencoder", autoencoder)
    assert command(*options, "--weights", weights, "beta").exit_code == 0
    again = command(*options, "--hub", "owner/name", "--revision", "main", "beta")
    assert "installed already" in again.stderr
    assert hub.requests == []


def test_failed_import_keeps_what_was_fetched(hub, tmp_path):
    _, autoencoder = beta_files(tmp_path)
    hub.files["owner/name", "nnet_ema_114000.pth"] = CONTENT
    options = ("--family", "cop-gen-beta", "--autoencoder", autoencoder)
    for _ in range(2):
        failed = command(*options, "--hub", "owner/name", "--revision", "main", "beta")
        assert failed.exit_code == EOTranslateError.exit_code
        assert "no PyTorch file" in failed.stderr
    assert len(hub.sent("GET")) == 1

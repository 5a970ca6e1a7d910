"""``eo-translate models``: what it prints, and how it fails."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

pytest.importorskip("onnx", reason="onnx is not installed (extra: train)")

from model_packages import local_graph, package

from engine.cli_errors import FAULT_EXIT_CODE, plain_errors
from engine.cli_models import app


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("EO_TRANSLATE_MODELS", raising=False)


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def fails(*arguments):
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_list(tmp_path):
    found = {entry["name"]: entry for entry in json.loads(run("list", "--json").stdout)}
    assert found["sar-to-optical"]["origin"] == "bundled"
    assert found["sar-to-optical"]["inputs"][0] == {"modality": "sar", "required": True}
    run("install", package(tmp_path / "source"))
    assert "test-model" in run("list").stdout


def test_list_says_what_is_broken(tmp_path, monkeypatch):
    broken = package(tmp_path / "listed")
    (broken / "item.json").write_text("{}")
    monkeypatch.setenv("EO_TRANSLATE_MODELS", str(broken.parent))
    assert "BROKEN" in run("list").stdout
    entry = next(e for e in json.loads(run("list", "--json").stdout) if e["name"] == "test-model")
    assert "type is missing" in entry["problem"]


def test_show():
    text = run("show", "sar-to-optical").stdout
    for topic in ("title", "takes sar", "gives optical", "limits", "licence", "SHA-256"):
        assert topic in text
    shown = json.loads(run("show", "sar-to-optical", "--json").stdout)
    assert shown["id"] == "sar-to-optical"
    assert shown["tiling"]["mode"] == "crop"


def test_verify():
    assert "is valid" in run("verify", "mask-to-image").stdout
    assert json.loads(run("verify", "mask-to-image", "--json").stdout)["model"] == "mask-to-image"


def test_install_remove(tmp_path):
    source = package(tmp_path / "source")
    assert json.loads(run("install", source, "--json").stdout)["id"] == "test-model"
    assert "installed already" in fails("install", source)
    assert run("install", source, "--replace").exit_code == 0
    assert "Removed test-model" in run("remove", "test-model").stdout
    assert "no installed model" in fails("remove", "test-model")


def test_import_with_options(tmp_path):
    path = local_graph(tmp_path / "m.onnx")
    options = [
        "--modality",
        "sar",
        "--bands",
        "VV, VH, HH",
        "--units",
        "dB",
        "--mean",
        "-10,-15,-20",
        "--std",
        "5",
    ]
    result = run("import", path, "mine", *options, "--output-range", "0,1", "--output-dtype", "uint8")
    assert result.exit_code == 0, result.output
    shown = json.loads(run("show", "mine", "--json").stdout)
    (entry,) = shown["inputs"]
    assert [band["name"] for band in entry["bands"]] == ["VV", "VH", "HH"]
    assert entry["normalisation"] == {
        "kind": "constant",
        "mean": [-10, -15, -20],
        "std": [5, 5, 5],
        "clip": None,
    }
    assert shown["output"]["dtype"] == "uint8"


def test_import_of_a_published_checkpoint(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: diffusion or train)")
    from engine.networks.aras400k import SpadeGenerator

    torch.save(SpadeGenerator(width=1, hidden=2).state_dict(), tmp_path / "g.pth")
    result = run("import", "--family", "aras400k", "--weights", tmp_path / "g.pth", "aras")
    assert result.exit_code == 0, result.output
    assert "every tensor fits" in run("verify", "aras").stdout


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["show", "nope"], "no model named 'nope'"),
        (["verify", "nope"], "no model named 'nope'"),
        (["install", "nope.zip"], "nothing at nope.zip"),
        (["remove", "sar-to-optical"], "part of EO Translate"),
        (["import", "gone.onnx", "x"], "no ONNX file at gone.onnx"),
        (["import", "gone.onnx"], "models import FILE.onnx NAME"),
        (["import", "a.onnx", "x", "--mean", "one"], "--mean"),
        (["import", "a.onnx", "x", "--clip", "1"], "--clip"),
        (["import", "a.onnx", "x", "--output-dtype", "int3"], "--output-dtype"),
        (["import", "a.onnx", "x", "--normalisation", "magic"], "--normalisation"),
        (["import", "x", "--family", "aras400k"], "--weights"),
        (["import", "x", "--weights", "g.pth"], "--family"),
        (["import", "x", "--family", "magic", "--weights", "g.pth"], "known are aras400k"),
    ],
)
def test_errors_are_one_sentence(arguments, fragment):
    assert fragment in fails(*arguments)


def test_a_fault_of_ours_is_logged(tmp_path, capsys):
    @plain_errors
    def broken():
        raise RuntimeError("unforeseen")

    with pytest.raises(SystemExit) as caught:
        broken()
    assert caught.value.code == FAULT_EXIT_CODE
    said = capsys.readouterr().err
    assert said.startswith("This is a fault of EO Translate (RuntimeError: unforeseen)")
    (log,) = (tmp_path / "state").rglob("fault-*.log")
    assert str(log) in said
    assert "Traceback" in log.read_text()


def test_importing_the_commands_is_fast():
    code = (
        "import sys, engine.cli_models;"
        "print([m for m in ('pystac', 'torch', 'onnxruntime', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

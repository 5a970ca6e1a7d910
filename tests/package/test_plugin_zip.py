"""The zip that ``make package`` builds, judged by the plugin repository's rules and by a run from it."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

ROOT = Path(__file__).resolve().parents[2]
NAME = "eo_translate_plugin"
REQUIRED = {"name", "description", "version", "qgisMinimumVersion", "author", "email", "about", "tracker"}
SUSPICIOUS = {".so", ".dll", ".exe", ".sh", ".bat", ".pyc", ".pyd", ".dylib", ".whl", ".pth", ".pt", ".pkl"}


def build(folder: Path) -> Path:
    command = [sys.executable, ROOT / ".ci" / "package.py", "--dist", folder]
    return Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def unpacked(package, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder


def names(package: Path) -> list[str]:
    with zipfile.ZipFile(package) as archive:
        return archive.namelist()


def test_the_same_source_gives_the_same_bytes(package, tmp_path):
    assert build(tmp_path).read_bytes() == package.read_bytes()


def test_it_is_small_enough(package):
    assert package.stat().st_size < 25_000_000


def test_it_has_one_top_folder_with_what_a_plugin_needs(package):
    assert {name.split("/")[0] for name in names(package)} == {NAME}
    assert NAME.isidentifier()
    inside = {name.split("/", 1)[1] for name in names(package)}
    needed = {"__init__.py", "metadata.txt", "LICENSE", "engine/worker.py", "engine-requirements.txt"}
    assert needed <= inside
    assert not any(name.startswith(("tests/", "training/")) for name in inside)


def test_it_holds_nothing_suspicious(package):
    with zipfile.ZipFile(package) as archive:
        for info in archive.infolist():
            path = Path(info.filename)
            assert path.suffix not in SUSPICIOUS, path
            assert not {"__pycache__", ".git", "__MACOSX", ".DS_Store"} & set(path.parts), path
            assert not path.name.startswith(("ui_", "resources_rc")), path
            assert "\\" not in info.filename
            assert info.external_attr >> 16 == 0o100644, path


def test_metadata_is_what_the_plugin_repository_asks_for(unpacked):
    parser = ConfigParser(interpolation=None)
    parser.read(unpacked / NAME / "metadata.txt", encoding="utf-8")
    metadata = parser["general"]
    assert {key.lower() for key in REQUIRED | {"repository"}} <= set(metadata)
    assert all(metadata[key].strip() for key in metadata)
    assert "plugin" not in metadata["name"].lower()
    assert "\n" not in metadata["description"]
    assert metadata["hasProcessingProvider"] == "yes"
    assert (metadata["qgisMinimumVersion"], metadata["qgisMaximumVersion"]) == ("3.22", "4.99")
    assert "supportsqt6" not in metadata
    assert (unpacked / NAME / metadata["icon"]).is_file()
    assert "GNU GENERAL PUBLIC LICENSE" in (unpacked / NAME / "LICENSE").read_text()
    assert "synthetic" in metadata["about"]


def test_plugin_code_imports_qgis_and_the_standard_library_only():
    allowed = {"qgis", *sys.stdlib_module_names}
    for path in (ROOT / NAME).rglob("*.py"):
        for module in _imports(path):
            assert module.split(".")[0] in allowed, f"{path} imports {module}"
            assert not module.startswith("PyQt"), path


def test_the_engine_imports_neither_qgis_nor_training_nor_the_plugin():
    for path in (ROOT / "engine").rglob("*.py"):
        for module in _imports(path):
            assert module.split(".")[0] not in {"qgis", "training", "PyQt5", "PyQt6", NAME}, path


def _imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append(node.module)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            raise AssertionError(f"{path} imports in a way that this test cannot read")
    return found


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"\bexec_\(", "Qt 6 has exec only"),
        (r"\bQVariant\.", "gone in PyQt 6"),
        (r"\bprint\(", "breaks qgis_process --json"),
        (r"setWidgetType|pyqt5|PyQt5", "qgis.PyQt only"),
    ],
)
def test_plugin_code_is_ready_for_qt_6(pattern, why):
    for path in (ROOT / NAME).rglob("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert not re.search(pattern, line), f"{path}:{number}: {why}"


def test_bandit_finds_nothing_by_any_rule(unpacked):
    command = [sys.executable, "-m", "bandit", "--quiet", "--format", "json", "--recursive", unpacked]
    result = subprocess.run(command, capture_output=True, text=True)
    found = json.loads(result.stdout)
    assert found["errors"] == []
    assert [(r["filename"], r["line_number"], r["test_id"]) for r in found["results"]] == []
    assert found["metrics"]["_totals"]["loc"] > 1000


@pytest.mark.parametrize("inside", [False, True])
def test_detect_secrets_finds_nothing_but_the_hashes_of_models(unpacked, inside):
    folder = unpacked / NAME if inside else unpacked
    command = [sys.executable, "-m", "detect_secrets", "scan", "--all-files", "."]
    scan = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    baseline = json.loads((unpacked / NAME / ".secrets.baseline").read_text())["results"]
    known = {(name, entry["hashed_secret"]) for name, entries in baseline.items() for entry in entries}
    found = {
        (name, entry["hashed_secret"])
        for name, entries in json.loads(scan)["results"].items()
        for entry in entries
        if not name.endswith(".secrets.baseline")
    }
    assert found
    assert found <= known
    assert all(name.endswith("/item.json") for name, _ in known)


# A run from the zip, in a QGIS that has never seen it


def qgis_process() -> str | None:
    named = os.environ.get("QGIS_PROCESS")
    return named or shutil.which("qgis_process.bin") or shutil.which("qgis_process")


@pytest.mark.skipif(qgis_process() is None, reason="QGIS is not installed")
def test_installed_in_an_empty_profile_it_runs_a_job(package, tmp_path):
    plugins = tmp_path / "q" / "profiles" / "default" / "python" / "plugins"
    plugins.mkdir(parents=True)
    with zipfile.ZipFile(package) as archive:
        archive.extractall(plugins)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "QGIS", "EO_TRANSLATE"))},
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "q"),
        "QT_QPA_PLATFORM": "offscreen",
        "EO_TRANSLATE_PYTHON": sys.executable,
    }

    def call(*arguments: str) -> subprocess.CompletedProcess:
        command = [qgis_process(), *arguments]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
        )

    enabled = call("plugins", "enable", NAME)
    assert enabled.returncode == 0, enabled.stderr
    listed = call("list").stdout
    assert "eo_translate:sartooptical" in listed
    assert "eo_translate:masktoimage" in listed
    sar, output = tmp_path / "sar.tif", tmp_path / "optical.tif"
    _write_sar(sar)
    run = call("--json", "run", "eo_translate:sartooptical", "--", f"SAR={sar}", f"OUTPUT={output}", "SEED=5")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["results"]["USED_SEED"] == 5
    with rasterio.open(output) as made, rasterio.open(sar) as given:
        assert (made.crs, made.transform, made.shape) == (given.crs, given.transform, given.shape)
        assert made.tags()["SYNTHETIC"] == "yes"
        assert made.read().std() > 1


def _write_sar(path: Path) -> None:
    power = np.random.default_rng(2).gamma(4.4, 0.02, (1, 160, 160)).astype("float32")
    profile = {"driver": "GTiff", "height": 160, "width": 160, "count": 1, "dtype": "float32"}
    grid = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5e6, 10, 10)}
    with rasterio.open(path, "w", **profile, **grid) as raster:
        raster.write(power)

"""The translations are complete, compiled, and used."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QTranslator

from eo_translate_plugin import classFactory

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "eo_translate_plugin" / "i18n"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("translations", ROOT / ".ci" / "translations.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_text_is_translated_with_the_same_fields(tool):
    for path in FOLDER.glob("*.ts"):
        known = tool.read(path)
        assert sorted(known) == tool.collect(), f"run .ci/translations.py: {path.name} is out of date"
        for text, translation in known.items():
            assert translation, text
            assert re.findall(r"\{\w+\}", text) == re.findall(r"\{\w+\}", translation), text


def test_the_compiled_file_says_what_the_source_says(tool, qgis_app):
    for path in FOLDER.glob("*.ts"):
        translator = QTranslator()
        assert translator.load(str(path.with_suffix(".qm")))
        for text, translation in tool.read(path).items():
            assert translator.translate(tool.CONTEXT, text) == translation


@pytest.mark.skipif(shutil.which("lrelease") is None, reason="Qt's lrelease is not installed")
def test_the_compiled_file_is_what_lrelease_makes(tool, tmp_path):
    for path in FOLDER.glob("*.ts"):
        made = tmp_path / "made.qm"
        subprocess.run(["lrelease", "-silent", path, "-qm", made], check=True)
        assert made.read_bytes() == path.with_suffix(".qm").read_bytes()


@pytest.mark.parametrize(
    ("locale", "name"), [("de_DE", "SAR in Optik übersetzen"), ("fi", "Translate SAR to optical")]
)
def test_the_language_of_qgis_is_used_and_given_back(qgis_app, locale, name):
    settings = QgsSettings()
    settings.setValue("locale/userLocale", locale)
    plugin = classFactory(None)
    try:
        plugin.initProcessing()
        algorithm = QgsApplication.processingRegistry().algorithmById("eo_translate:sartooptical")
        assert algorithm.displayName() == name
        assert algorithm.name() == "sartooptical"
        assert algorithm.parameterDefinition("DEVICE").options() == ["auto", "cpu", "cuda"]
    finally:
        plugin.unload()
        settings.remove("locale/userLocale")
    from eo_translate_plugin.translate import tr

    assert tr("Translate SAR to optical") == "Translate SAR to optical"

"""The options page and the installation of the engine's environment."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from qgis.core import QgsApplication, QgsNetworkAccessManager, QgsSettings
from qgis.gui import QgsFileWidget
from qgis.PyQt.QtNetwork import QNetworkProxy
from qgis.PyQt.QtWidgets import QCheckBox, QPlainTextEdit, QPushButton

from eo_translate_plugin import engine_setup, environment
from eo_translate_plugin.engine_setup import EnvironmentInstaller

ENGINE = Path(os.environ["EO_TRANSLATE_PYTHON"])


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch, tmp_path, qgis_app):
    """A user who has set nothing and has nothing installed."""
    monkeypatch.delenv("EO_TRANSLATE_PYTHON")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    QgsSettings().remove(environment.PYTHON_SETTING)
    yield
    QgsSettings().remove(environment.PYTHON_SETTING)


@pytest.fixture
def installer(tmp_path):
    installer = EnvironmentInstaller()
    installer.outcomes, installer.lines = [], []
    installer.finished.connect(lambda worked, sentence: installer.outcomes.append((worked, sentence)))
    installer.line.connect(installer.lines.append)
    yield installer
    installer.cancel()


def wait(installer: EnvironmentInstaller, seconds: float = 120) -> tuple[bool, str]:
    """Runs the event loop, as QGIS does, until the installer has finished; notes its longest pause."""
    deadline, longest, last = time.monotonic() + seconds, 0.0, time.monotonic()
    while not installer.outcomes and time.monotonic() < deadline:
        QgsApplication.processEvents()
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
        time.sleep(0.01)
    installer.longest_pause_s = longest
    return installer.outcomes[0]


def page(installer):
    from eo_translate_plugin.ui.options_page import OptionsPage

    return OptionsPage(installer)


def button(page, text: str) -> QPushButton:
    return next(b for b in page.findChildren(QPushButton) if b.text() == text)


# Finding an interpreter


def test_nothing_anywhere_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(environment.EngineMissingError, match="Settings > Options > EO Translate"):
        environment.find_interpreter()


def test_the_variable_goes_before_the_setting_before_the_environment_before_the_path(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(_folder_with_script(tmp_path / "bin", ENGINE)))
    assert environment.find_interpreter() == (ENGINE, "eo-translate on PATH")

    own = environment.venv_python(environment.environment_folder())
    _touch(own)
    assert environment.find_interpreter().path == ENGINE  # unfinished: the installation was cut off
    _touch(environment.completion_marker(environment.environment_folder()))
    assert environment.find_interpreter().path == own

    chosen = _touch(tmp_path / "chosen")
    QgsSettings().setValue(environment.PYTHON_SETTING, str(chosen))
    assert environment.find_interpreter().path == chosen

    named = _touch(tmp_path / "named")
    monkeypatch.setenv("EO_TRANSLATE_PYTHON", str(named))
    assert environment.find_interpreter().path == named


def test_a_named_environment_folder_will_do(monkeypatch, tmp_path):
    python = _touch(environment.venv_python(tmp_path / "my environment"))
    monkeypatch.setenv("EO_TRANSLATE_PYTHON", str(tmp_path / "my environment"))
    assert environment.find_interpreter().path == python


@pytest.mark.parametrize("by", ["variable", "setting"])
def test_a_named_place_that_does_not_exist_is_an_error(monkeypatch, by):
    if by == "variable":
        monkeypatch.setenv("EO_TRANSLATE_PYTHON", "/no/such/python")
    else:
        QgsSettings().setValue(environment.PYTHON_SETTING, "/no/such/python")
    with pytest.raises(environment.EngineMissingError, match="/no/such/python"):
        environment.find_interpreter()


def test_a_launcher_without_a_first_line_points_to_the_python_beside_it(monkeypatch, tmp_path):
    script = _touch(tmp_path / "bin" / "eo-translate")
    script.write_bytes(b"MZ\x90\x00")
    script.chmod(0o755)
    python = _touch(tmp_path / "bin" / "python")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert environment.find_interpreter().path == python


def test_the_data_folder_is_the_engines_own(tmp_path):
    code = "import platformdirs; print(platformdirs.user_data_dir('eo-translate'))"
    engine_says = os.popen(f"'{ENGINE}' -c \"{code}\"").read().strip()
    assert str(environment.data_folder()) == engine_says


def test_requirements_are_those_of_the_project():
    cpu, cuda = environment.requirements("cpu"), environment.requirements("cuda")
    assert any(line.startswith("rasterio") for line in cpu)
    assert [line for line in cpu if line.startswith("onnxruntime-gpu")] == []
    assert [line for line in cuda if line.startswith("onnxruntime")] == [
        line for line in cuda if line.startswith("onnxruntime-gpu")
    ]
    assert len(cuda) >= len(cpu)
    more = [line.split(">")[0] for line in environment.requirements("diffusion")]
    assert {"torch", "safetensors", "diffusers"} <= set(more)


# The installation


def test_a_real_environment_is_made_and_used_without_blocking_the_window(installer):
    """From nothing to a working engine; needs the package index, or a pip cache."""
    installer.install("cpu", Path(sys.base_prefix, "bin", "python3"))
    worked, sentence = wait(installer, 300)
    if not worked and "No matching distribution" in "\n".join(installer.lines):
        pytest.skip("no package index is reachable")
    assert worked, (sentence, installer.lines[-5:])
    assert installer.longest_pause_s < 0.5
    assert environment.find_interpreter().path == environment.venv_python(environment.environment_folder())
    assert any("rasterio" in line for line in installer.lines)
    assert "Successfully installed" in installer.log_path.read_text()
    assert engine_setup.disk_use_bytes(environment.environment_folder()) > 50e6


def test_a_cancelled_installation_is_taken_up_again(installer):
    installer.install("cpu", Path(sys.base_prefix, "bin", "python3"))
    deadline = time.monotonic() + 60
    while not installer.lines and time.monotonic() < deadline:
        QgsApplication.processEvents()
    start = time.monotonic()
    installer.cancel()
    assert time.monotonic() - start < 1
    assert installer.outcomes[0][0] is False
    assert not installer.is_running
    with pytest.raises(environment.EngineMissingError):
        _find_without_path()
    python = environment.venv_python(environment.environment_folder())
    made = python.lstat().st_ctime_ns
    steps = []
    installer.step.connect(steps.append)
    installer.install("cpu")
    assert len(steps) == 1
    assert "Creating" not in steps[0]
    assert python.lstat().st_ctime_ns == made


def test_a_python_that_cannot_make_environments_is_said(installer):
    installer.install("cpu", Path("/bin/false"))
    worked, sentence = wait(installer)
    assert not worked
    assert "/bin/false" in sentence
    assert "python3-venv" in sentence
    assert not environment.environment_folder().exists()


def test_the_next_python_is_tried(installer, monkeypatch):
    monkeypatch.setattr(engine_setup, "base_pythons", lambda: [Path("/bin/false"), Path("/no/such")])
    installer.install("cpu")
    worked, sentence = wait(installer)
    assert not worked
    assert "/bin/false, /no/such" in sentence


def test_a_package_that_cannot_be_had_is_one_sentence(installer, monkeypatch):
    monkeypatch.setattr(engine_setup, "requirements", lambda variant: ["numpy==0.0.0.1"])
    installer.install("cpu", Path(sys.base_prefix, "bin", "python3"))
    worked, sentence = wait(installer)
    assert not worked
    assert "No matching distribution found for numpy==0.0.0.1" in sentence
    assert "proxy" in sentence
    assert "\n" not in sentence
    with pytest.raises(environment.EngineMissingError):
        _find_without_path()


def test_packages_for_diffusion_models_are_installed_when_they_are_ticked(installer, monkeypatch):
    wanted = {"cpu": [], "diffusion": ["numpy==0.0.0.2"]}
    monkeypatch.setattr(engine_setup, "requirements", wanted.__getitem__)
    monkeypatch.setattr(engine_setup, "_TORCH_FOR_CPU", [])
    shown = page(installer)
    tick = shown.findChild(QCheckBox)
    assert not tick.isChecked()
    tick.setChecked(True)
    button(shown, "Create").click()
    worked, sentence = wait(installer)
    assert not worked
    assert "numpy==0.0.0.2" in sentence


def test_the_tick_says_what_is_installed(installer):
    folder = environment.environment_folder()
    folder.mkdir(parents=True)
    environment.completion_marker(folder).write_text("# cpu\nnumpy>=1.26,<3\ntorch>=2.6,<3\n")
    assert page(installer).findChild(QCheckBox).isChecked()
    environment.completion_marker(folder).write_text("# cpu\nnumpy>=1.26,<3\n")
    assert not page(installer).findChild(QCheckBox).isChecked()


def test_the_interpreter_of_qgis_is_a_candidate():
    assert engine_setup.base_pythons()
    assert all(path.is_file() for path in engine_setup.base_pythons())


@pytest.mark.parametrize(
    ("proxy", "url"),
    [
        (QNetworkProxy(QNetworkProxy.ProxyType.NoProxy), None),
        (QNetworkProxy(QNetworkProxy.ProxyType.HttpProxy, "gate", 3128), "http://gate:3128"),
        (
            QNetworkProxy(QNetworkProxy.ProxyType.HttpProxy, "gate", 3128, "me", "p@ss:word"),
            "http://me:p%40ss%3Aword@gate:3128",
        ),
        (QNetworkProxy(QNetworkProxy.ProxyType.Socks5Proxy, "gate", 1080), "socks5://gate:1080"),
    ],
)
def test_the_proxy_of_qgis_is_used(proxy, url):
    manager = QgsNetworkAccessManager.instance()
    before = manager.fallbackProxy()
    try:
        manager.setFallbackProxyAndExcludes(proxy, [], [])
        assert engine_setup.proxy_variables().get("HTTPS_PROXY") == url
    finally:
        manager.setFallbackProxyAndExcludes(before, [], [])


# The page


def test_the_page_says_what_to_do_when_there_is_nothing(installer, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    shown = page(installer)
    assert "not installed yet" in shown._status.text()
    assert button(shown, "Create").isEnabled()
    button(shown, "Test").click()
    assert "not installed yet" in shown._step.text()
    assert not button(shown, "Cancel").isEnabled()
    assert not button(shown, "Remove...").isEnabled()
    assert "not there yet" in shown._disk_use.text()


def test_the_chosen_interpreter_is_kept(installer):
    shown = page(installer)
    shown.findChild(QgsFileWidget).setFilePath(str(ENGINE))
    shown.apply()
    assert environment.find_interpreter() == (ENGINE, "Settings > Options > EO Translate")
    assert page(installer).findChild(QgsFileWidget).filePath() == str(ENGINE)


def test_the_test_button_shows_what_the_doctor_says(installer):
    shown = page(installer)
    shown.findChild(QgsFileWidget).setFilePath(str(ENGINE))
    shown.apply()
    button(shown, "Test").click()
    assert button(shown, "Cancel").isEnabled()
    worked, sentence = wait(installer)
    text = shown.findChild(QPlainTextEdit).toPlainText()
    assert worked, text
    assert "onnxruntime" in text
    assert "sar-to-optical" in text
    assert shown._step.text() == sentence
    assert button(shown, "Test").isEnabled()


def test_a_failed_test_is_said(installer):
    shown = page(installer)
    shown.findChild(QgsFileWidget).setFilePath("/bin/false")
    button(shown, "Test").click()
    worked, _ = wait(installer)
    assert not worked
    assert "does not work" in shown._step.text()


def test_closing_the_page_does_not_end_the_installation(installer, monkeypatch):
    monkeypatch.setattr(engine_setup, "requirements", lambda variant: ["numpy==0.0.0.1"])
    shown = page(installer)
    button(shown, "Create").click()
    assert installer.is_running
    shown.deleteLater()
    QgsApplication.sendPostedEvents(shown, 0)
    del shown
    wait(installer)
    again = page(installer)
    assert button(again, "Go on creating").isEnabled()


def test_removing_deletes_the_environment(installer):
    _touch(environment.venv_python(environment.environment_folder()))
    shown = page(installer)
    assert button(shown, "Remove...").isEnabled()
    shown.remove_environment()
    deadline = time.monotonic() + 10
    while environment.environment_folder().exists() and time.monotonic() < deadline:
        QgsApplication.processEvents()
    assert not environment.environment_folder().exists()


def _touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


def _folder_with_script(folder: Path, python: Path) -> Path:
    _touch(folder / "eo-translate").write_text(f"#!{python}\nimport sys\n")
    return folder


def _find_without_path():
    path = os.environ.pop("PATH")
    try:
        return environment.find_interpreter()
    finally:
        os.environ["PATH"] = path

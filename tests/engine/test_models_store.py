"""Search order, installation and removal; nothing that fails leaves anything behind."""

import stat
import zipfile

import pytest

pytest.importorskip("onnx", reason="onnx is not installed (extra: train)")

from model_packages import assert_sentence, package, read, write

from engine.errors import ModelError, OutputError
from engine.models import store


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EO_TRANSLATE_MODELS", raising=False)
    return store.user_folder()


@pytest.fixture
def folder(tmp_path):
    return package(tmp_path / "source")


def left_behind(home):
    return sorted(p.name for p in home.iterdir()) if home.exists() else []


def zipped(folder, path, prefix="test-model/", **extra):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, prefix + file.name)
        for name, content in extra.items():
            archive.writestr(name, content)
    return path


def refused(source, home, match):
    before = left_behind(home)
    with pytest.raises(ModelError, match=match) as caught:
        store.install(source)
    assert_sentence(caught.value)
    assert left_behind(home) == before


def test_find_prefers_environment_then_user_then_bundled(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BUNDLED_FOLDER", package(tmp_path / "bundled").parent)
    assert store.find("test-model").folder == tmp_path / "bundled" / "test-model"
    store.install(folder)
    assert store.find("test-model").folder == store.user_folder() / "test-model"
    package(tmp_path / "listed")
    monkeypatch.setenv("EO_TRANSLATE_MODELS", str(tmp_path / "listed"))
    assert store.find("test-model").folder == tmp_path / "listed" / "test-model"
    assert store.find(str(folder)).folder == folder
    assert [item.folder.parent.name for item in store.installed() if item.id == "test-model"] == ["listed"]


def test_bundled_models_are_found():
    assert {"sar-to-optical", "mask-to-image"} <= {item.id for item in store.installed()}


@pytest.mark.parametrize("name", ["nope", "", "..", "../test-model", "a/b"])
def test_unknown_model(name):
    with pytest.raises(ModelError) as caught:
        store.find(name)
    assert_sentence(caught.value)


def test_folder_and_name_must_agree(folder, monkeypatch):
    folder.rename(folder.with_name("other"))
    monkeypatch.setenv("EO_TRANSLATE_MODELS", str(folder.parent))
    with pytest.raises(ModelError, match="holds a model named test-model"):
        store.find("other")
    (entry,) = [e for e in store.entries() if e.name == "other"]
    assert entry.item is None
    assert_sentence(entry.problem)


def test_install_folder_copies_named_files_only(folder, home):
    (folder / "notes.txt").write_text("not part of the package")
    item = store.install(folder)
    assert item.folder == home / "test-model"
    assert left_behind(item.folder) == ["item.json", "model.onnx"]
    assert left_behind(home) == ["test-model"]


@pytest.mark.parametrize("prefix", ["", "test-model/", "deep/er/"])
def test_install_zip(folder, tmp_path, home, prefix):
    item = store.install(zipped(folder, tmp_path / "package.zip", prefix))
    assert left_behind(item.folder) == ["item.json", "model.onnx"]
    assert left_behind(home) == ["test-model"]


def test_install_twice_needs_replace(folder, home):
    store.install(folder)
    refused(folder, home, "installed already")
    assert store.install(folder, replace=True).id == "test-model"
    assert left_behind(home) == ["test-model"]


def test_failed_replacement_keeps_the_old_package(folder, home):
    old = store.install(folder).sha256
    (folder / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelError):
        store.install(folder, replace=True)
    assert store.find("test-model").sha256 == old
    assert left_behind(home) == ["test-model"]


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:/evil"])
def test_zip_that_leaves_the_archive(folder, tmp_path, home, name):
    refused(zipped(folder, tmp_path / "p.zip", **{name: "x"}), home, "leaves the archive")
    assert not list(tmp_path.rglob("evil"))


def test_zip_with_link(folder, tmp_path, home):
    path = tmp_path / "p.zip"
    zipped(folder, path)
    link = zipfile.ZipInfo("test-model/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    refused(path, home, "link")


def test_zip_bomb_is_cut_off_at_the_declared_size(folder, tmp_path, home):
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "item.json", "item.json")
        archive.writestr("model.onnx", bytes(200_000_000))
    refused(path, home, "larger than")


def test_huge_item_in_zip(tmp_path, home):
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("item.json", b" " * 50_000_000)
    refused(path, home, "larger than")


def test_zip_without_item_or_weights(folder, tmp_path, home):
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(path, home, "holds no item.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "item.json", "item.json")
    refused(path, home, "incomplete")


def test_cut_off_and_damaged_zips(folder, tmp_path, home):
    whole = zipped(folder, tmp_path / "whole.zip").read_bytes()
    path = tmp_path / "p.zip"
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, home, "neither a model package folder nor a zip")
    damaged = bytearray(whole)
    start = whole.find(b"model.onnx") + len("model.onnx")
    damaged[start : start + 40] = b"?" * 40
    path.write_bytes(damaged)
    refused(path, home, "damaged")


def test_encrypted_zip(folder, tmp_path, home):
    path = zipped(folder, tmp_path / "p.zip")
    data = bytearray(path.read_bytes())
    # Bit 0 of the general-purpose flags, in each central directory entry.
    for position in range(len(data)):
        if data[position : position + 4] == b"PK\x01\x02":
            data[position + 8] |= 1
    path.write_bytes(data)
    refused(path, home, "encrypted")


@pytest.mark.parametrize("content", [b"", b"a model", b"PK\x03\x04"])
def test_file_that_is_no_package(tmp_path, home, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    refused(path, home, "neither a model package folder nor a zip")
    refused(tmp_path / "gone", home, "nothing at")


def test_wrong_hash_is_not_installed(folder, home):
    document = read(folder)
    document["assets"]["model"]["file:checksum"] = "1220" + "0" * 64
    write(folder, document)
    refused(folder, home, "SHA-256")


def test_remove(folder, home):
    store.install(folder)
    assert store.remove("test-model") == home / "test-model"
    assert left_behind(home) == []
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("sar-to-optical", "part of EO Translate"),
        ("nope", "no installed model"),
        ("", "no installed"),
        ("..", "no installed"),
    ],
)
def test_remove_refuses(name, match):
    with pytest.raises(ModelError, match=match) as caught:
        store.remove(name)
    assert_sentence(caught.value)
    assert "sar-to-optical" in {item.id for item in store.installed()}


def test_remove_refuses_what_is_managed_elsewhere(folder, monkeypatch):
    monkeypatch.setenv("EO_TRANSLATE_MODELS", str(folder.parent))
    with pytest.raises(ModelError, match="EO_TRANSLATE_MODELS"):
        store.remove("test-model")
    assert folder.is_dir()


def test_remove_of_a_linked_package_keeps_its_files(folder, home):
    home.mkdir(parents=True)
    (home / "test-model").symlink_to(folder)
    store.remove("test-model")
    assert (folder / "model.onnx").is_file()


def test_models_folder_that_cannot_be_made(folder, home):
    home.parent.mkdir(parents=True)
    home.write_text("a file where the folder should be")
    with pytest.raises(OutputError) as caught:
        store.install(folder)
    assert_sentence(caught.value)


def test_new_package_leaves_nothing_when_the_writer_fails(home):
    def fail():
        with store.new_package("half") as part:
            (part / "model.onnx").write_bytes(b"x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert left_behind(home) == []

"""Builds the QGIS plugin: a reproducible zip, or an unpacked folder for development.

python .ci/package.py                       # dist/eo_translate_plugin-VERSION.zip
python .ci/package.py --folder build/plugins  # build/plugins/eo_translate_plugin/
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path, PurePosixPath

import tomllib

ROOT = Path(__file__).resolve().parents[1]
NAME = "eo_translate_plugin"
SOURCES = (NAME, "engine", "resources")
SINGLE_FILES = ("metadata.txt", "LICENSE")
SKIPPED_FOLDERS = {"__pycache__"}
SKIPPED_SUFFIXES = {".pyc", ".part", ".ts"}
REQUIREMENTS = "engine-requirements.txt"
MAX_ZIP_BYTES = 25 * 1000 * 1000
# The zip format's earliest date: the same source gives the same bytes.
FIXED_DATE = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    """Reads the arguments and writes the zip or the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="write an unpacked plugin here instead of a zip")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where the zip goes")
    arguments = parser.parse_args()
    files = collect()
    if arguments.folder:
        print(write_folder(files, arguments.folder))
    else:
        print(write_zip(files, arguments.dist))


def collect() -> dict[PurePosixPath, bytes]:
    """Every file of the plugin, by its path inside the plugin's folder."""
    files = {PurePosixPath(REQUIREMENTS): requirements().encode()}
    for name in SINGLE_FILES:
        if (ROOT / name).is_file():
            files[PurePosixPath(name)] = (ROOT / name).read_bytes()
    for source in SOURCES:
        base = ROOT / source
        for path in base.rglob("*"):
            inside = PurePosixPath(path.relative_to(base if source == NAME else ROOT).as_posix())
            if path.is_file() and not is_skipped(inside):
                files[inside] = path.read_bytes()
    files[PurePosixPath(".secrets.baseline")] = secrets_baseline(files).encode()
    return dict(sorted(files.items()))


def secrets_baseline(files: dict[PurePosixPath, bytes]) -> str:
    """Tells detect-secrets that the hashes in the model items are no secrets.

    The plugin repository scans above the plugin's folder, a developer inside it: both paths are listed.
    """
    results: dict[str, list[dict[str, object]]] = {}
    for path, content in files.items():
        if path.name == "item.json":
            for prefix in ("", f"{NAME}/"):
                results[f"{prefix}{path}"] = _hashes(f"{prefix}{path}", content.decode())
    plugins = [{"name": "HexHighEntropyString", "limit": 3.0}]
    document = {"version": "1.5.0", "plugins_used": plugins, "filters_used": [], "results": results}
    return json.dumps(document, indent=1) + "\n"


def _hashes(filename: str, text: str) -> list[dict[str, object]]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for digits in re.findall(r'"([0-9a-f]{40,})"', line):
            sha1 = hashlib.sha1(digits.encode(), usedforsecurity=False).hexdigest()
            entry = {"type": "Hex High Entropy String", "filename": filename, "hashed_secret": sha1}
            found.append({**entry, "is_verified": False, "line_number": number})
    return found


def is_skipped(path: PurePosixPath) -> bool:
    """Whether a file is no part of what users get."""
    return (
        bool(SKIPPED_FOLDERS.intersection(path.parts))
        or path.suffix in SKIPPED_SUFFIXES
        or path.parts[:2] == ("resources", "sample")
    )


def requirements() -> str:
    """The engine's requirements from pyproject.toml, a section each for CPU, CUDA and diffusion models."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = ["# The engine's packages; written from pyproject.toml when the plugin was packaged.", "[cpu]"]
    lines += project["dependencies"]
    extras = project["optional-dependencies"]
    # onnxruntime and onnxruntime-gpu are the same import: only one of them may be installed.
    base = [line for line in project["dependencies"] if not line.startswith("onnxruntime")]
    lines += ["[cuda]", *base, *extras["gpu"], "[diffusion]", *extras["diffusion"]]
    return "\n".join(lines) + "\n"


def version() -> str:
    """The plugin's version, the same in metadata.txt and pyproject.toml."""
    metadata = ConfigParser(interpolation=None)
    metadata.read(ROOT / "metadata.txt", encoding="utf-8")
    found = metadata.get("general", "version")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if found != project:
        sys.exit(f"metadata.txt says version {found} and pyproject.toml {project}; make them the same.")
    return found


def write_zip(files: dict[PurePosixPath, bytes], dist: Path) -> Path:
    """Writes the zip with fixed dates and modes and no executable bits."""
    target = dist / f"{NAME}-{version()}.zip"
    dist.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".zip.part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, content in files.items():
            info = zipfile.ZipInfo(f"{NAME}/{path}", FIXED_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            archive.writestr(info, content)
    size = part.stat().st_size
    if size > MAX_ZIP_BYTES:
        part.unlink()
        sys.exit(f"The zip would have {size / 1e6:.1f} MB; the plugin repository takes at most 25 MB.")
    part.replace(target)
    return target


def write_folder(files: dict[PurePosixPath, bytes], parent: Path) -> Path:
    """Writes an unpacked plugin that replaces an earlier one."""
    target = parent / NAME
    shutil.rmtree(target, ignore_errors=True)
    for path, content in files.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(content)
    return target


if __name__ == "__main__":
    main()

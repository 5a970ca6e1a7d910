"""Keeps the plugin's translations: collects its texts into i18n/*.ts and compiles these into *.qm.

    python .ci/translations.py            # after a text has changed; needs Qt's lrelease

A text that is new is left untranslated and shows in English; a text that is gone is dropped.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree  # nosec B405 - reads our own files

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "eo_translate_plugin"
CONTEXT = "EOTranslate"


def main() -> None:
    """Updates and compiles every language that has a file."""
    texts = collect()
    for path in sorted((PLUGIN / "i18n").glob("*.ts")):
        known = read(path)
        write(path, {text: known.get(text, "") for text in texts})
        compiled = path.with_suffix(".qm")
        subprocess.run(["lrelease", "-silent", path, "-qm", compiled], check=True)
        missing = sum(not known.get(text) for text in texts)
        print(f"{path.name}: {len(texts) - missing} of {len(texts)} texts")


def collect() -> list[str]:
    """Every text that the plugin's sources give to ``tr``, sorted."""
    found = set()
    for path in PLUGIN.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tr":
                argument = node.args[0]
                if isinstance(argument, ast.Constant):
                    found.add(argument.value)
    return sorted(found)


def read(path: Path) -> dict[str, str]:
    """The translations in a .ts file."""
    messages = ElementTree.parse(path).iter("message")  # nosec B314 - reads our own files
    return {m.findtext("source"): m.findtext("translation") or "" for m in messages}


def write(path: Path, translations: dict[str, str]) -> None:
    """Writes a .ts file."""
    root = ElementTree.Element("TS", version="2.1", language=path.stem.rsplit("_", 1)[1])
    context = ElementTree.SubElement(root, "context")
    ElementTree.SubElement(context, "name").text = CONTEXT
    for source, translation in translations.items():
        message = ElementTree.SubElement(context, "message")
        ElementTree.SubElement(message, "source").text = source
        element = ElementTree.SubElement(message, "translation")
        element.text = translation
        if not translation:
            element.set("type", "unfinished")
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n{text}\n', encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

"""Every enum member is reached through its enum, as Qt 6 demands; checked against the real classes."""

from __future__ import annotations

import ast
import importlib

import pytest


def unscoped_members(source: str) -> list[str]:
    """``QComboBox.NoInsert`` and the like: whole numbers that are attributes of a class of qgis.*."""
    tree, classes, found = ast.parse(source), {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qgis."):
            module = importlib.import_module(node.module)
            classes |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in classes:
            value = getattr(classes[node.value.id], node.attr, None)
            if isinstance(value, int):
                found.append(f"{node.value.id}.{node.attr} in line {node.lineno}")
    return found


def test_the_check_sees_what_it_is_for():
    head = "from qgis.PyQt.QtWidgets import QComboBox\n"
    assert unscoped_members(head + "QComboBox.NoInsert") == ["QComboBox.NoInsert in line 2"]
    assert unscoped_members(head + "QComboBox.InsertPolicy.NoInsert") == []


def test_plugin_code_has_scoped_enums_only(plugin_folder):
    sources = [p for p in plugin_folder.rglob("*.py") if "engine" not in p.relative_to(plugin_folder).parts]
    assert len(sources) > 15
    for path in sources:
        assert unscoped_members(path.read_text(encoding="utf-8")) == [], path


@pytest.mark.parametrize("name", ["engine", "resources"])
def test_the_plugin_does_not_import_the_engine(plugin_folder, name):
    for path in plugin_folder.rglob("*.py"):
        if "engine" not in path.relative_to(plugin_folder).parts:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    assert (node.module or "").split(".")[0] != name

"""One name means one type, and a type's name says what kind of thing it is."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("agent", "api", "bench", "cli", "core", "corral", "tools", "workers")
# The client library is a package of its own, and imports nothing of the rest. Its types have the nouns of the API,
# which its users read in the documents; a table, a message or an error of the same noun is the same thing.
OF_THE_LIBRARY = {
    "Adapter",
    "Conflict",
    "CorralError",
    "Disk",
    "Event",
    "Failure",
    "Forbidden",
    "Forward",
    "GuestTimeout",
    "Medium",
    "NotFound",
    "Operation",
    "Progress",
    "Snapshot",
    "Unauthenticated",
    "Unavailable",
    "Vm",
}
# By the name of a base: how the names of its types end, and in which folder.
ENDINGS = {
    "MethodView": ("View", "api"),
    "Schema": ("Schema", "api"),
    "Protocol": ("Capability", "agent/drivers/capabilities"),
}
# It is a part of the file capability: what reads one file.
NO_CAPABILITIES = {"FileReading"}


def types(*folders: str) -> dict[str, list[str]]:
    """By the name of a type, the modules that define it. `corral/_sync` is made of `corral/_async`."""
    found = defaultdict(list)
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "_sync" not in path.parts:
                for node in ast.walk(ast.parse(path.read_text())):
                    if isinstance(node, ast.ClassDef):
                        found[node.name].append(path.relative_to(ROOT).as_posix())
    found.pop("Meta", None)  # a part of each schema, by which marshmallow finds it
    return found


def test_one_name_is_one_type() -> None:
    of_the_rest = types(*(folder for folder in PRODUCT if folder != "corral"))
    assert {name: where for name, where in of_the_rest.items() if len(where) > 1} == {}
    of_the_library = types("corral")
    assert {name: where for name, where in of_the_library.items() if len(where) > 1} == {}
    assert set(of_the_rest) & set(of_the_library) == OF_THE_LIBRARY


@pytest.mark.parametrize("base", ENDINGS)
def test_the_name_of_a_type_says_its_kind(base: str) -> None:
    ending, folder = ENDINGS[base]
    bases = {
        node.name: {ast.unparse(each).split(".")[-1] for each in node.bases}
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    kinds, found = {base}, set[str]()
    while below := {name for name in bases if bases[name] & kinds} - found:
        found, kinds = found | below, kinds | below
    assert len(found) > 5
    assert {name for name in found - NO_CAPABILITIES if not name.endswith(ending)} == set()

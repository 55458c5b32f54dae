"""Every error text of ours, as a page that one person reads in a few minutes: `python -m tests.suite.error_texts`.

The texts are read out of the code: what an error of the tree in `core/contract/errors.py` is made with, and what the
check of a field says. A value in a text stands in braces.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.contract.errors import CorralError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
PARTS = {
    "Before a host is asked": ("core", "api", "workers"),
    "By a host, its hypervisor or a guest": ("agent",),
    "By the command line and the library": ("cli", "corral/_async", "corral"),
}
# The library's blocking half is written by a script from the other one, and the fake driver breaks as it is told.
_SKIPPED = ("corral/_sync", "agent/drivers/fake", "cli/image")
_FIELDS = {"ValidationError", "Unfit.of"}
_LONGEST_VALUE = 40
_HEAD = """# Error texts

What a caller reads when something is refused or fails, read out of the code by `python -m tests.suite.error_texts`;
`tests/suite/test_error_texts.py` fails when this page is not what the code says. A value is in braces.
The answers that carry them, with their codes, are in the OpenAPI documents of both dialects.
"""


def page() -> str:
    """The whole page."""
    modules = {path: ast.parse(path.read_text()) for path in _files()}
    kinds = _kinds(modules.values())
    lines = [_HEAD]
    for title, folders in PARTS.items():
        found: dict[str, set[str]] = defaultdict(set)
        for path, module in modules.items():
            if path.relative_to(ROOT).as_posix().startswith(tuple(f"{each}/" for each in folders)):
                for kind, text in _texts(module, kinds):
                    found[kind].add(text)
        lines.append(f"## {title}\n")
        for kind, texts in sorted(found.items()):
            lines += [f"### {kind}\n", *(f"- {text}" for text in sorted(texts, key=str.casefold)), ""]
    return "\n".join(lines)


def _files() -> list[Path]:
    packages = sorted({each.split("/")[0] for folders in PARTS.values() for each in folders})
    files = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in files if not path.relative_to(ROOT).as_posix().startswith(_SKIPPED)]


def _kinds(modules: Iterable[ast.Module]) -> set[str]:
    """The names of `CorralError` and all that derive from it."""
    bases: dict[str, set[str]] = defaultdict(set)
    for module in modules:
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef):
                bases[node.name] |= {_name(base) for base in node.bases}
    kinds = {CorralError.__name__}
    while more := {name for name, above in bases.items() if above & kinds} - kinds:
        kinds |= more
    return kinds


def _texts(module: ast.Module, kinds: set[str]) -> Iterator[tuple[str, str]]:
    """Each error that is made there, and what it says."""
    for scope in ast.walk(module):
        if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module | ast.ClassDef):
            continue
        known = {
            target.id: node.value
            for node in _own(scope)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in _own(scope):
            if isinstance(node, ast.Call):
                yield from _said(node, kinds, known)


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """What is in that function, and not in another one within."""
    for child in ast.iter_child_nodes(scope):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child
            yield from _own(child)


def _said(call: ast.Call, kinds: set[str], known: dict[str, ast.expr]) -> Iterator[tuple[str, str]]:
    name = _name(call.func)
    dotted = ast.unparse(call.func)
    if name in kinds and call.args:
        yield from ((name, text) for text in _written(call.args[0], known))
    elif dotted in _FIELDS and call.args:
        field = ast.unparse(call.args[0]).strip("'\"") if dotted == "Unfit.of" else ""
        shown = call.args[1] if dotted == "Unfit.of" else call.args[0]
        yield from (("A field of the body", f"{field}: {text}".removeprefix(": ")) for text in _written(shown, known))
    for keyword in call.keywords:
        if keyword.arg == "error":
            yield from (("A field of the body", text) for text in _written(keyword.value, known))


def _written(node: ast.expr, known: dict[str, ast.expr]) -> Iterator[str]:
    """The texts that an expression may be; none where it is another error's."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(_part(part) for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from _written(node.body, known)
        yield from _written(node.orelse, known)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _written(value, known)
    elif isinstance(node, ast.Name) and node.id in known:
        yield from _written(known[node.id], {name: value for name, value in known.items() if name != node.id})


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.FormattedValue):
        value = ast.unparse(part.value)
        return f"{{{value if len(value) <= _LONGEST_VALUE else '…'}}}"
    return str(part.value) if isinstance(part, ast.Constant) else ""


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


if __name__ == "__main__":
    PAGE.write_text(page())

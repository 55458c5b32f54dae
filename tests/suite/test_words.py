"""Texts for readers have subjects that readers know: phrases that once made them hard to read don't come back."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from cli.main import main
from core import settings
from tests.suite import error_texts

ROOT = Path(__file__).parents[2]
SAY_INSTEAD = {
    r"whoever|those who": "name them: the caller, the user, a waiting request",
    r"heard of|is heard|goes unheard": "an online host, a heartbeat, a report",
    r"silent (host|agent)s?|hosts? (that|which) (is|are) silent": "an offline host",
    r"(is|was|are|were) told (of|by|that|what|nothing)|as it was told|\btells? of": "is sent, reported, shown",
    r"what (was|is) (said|told|meant|wanted)": "name it: the request, the report, the desired state",
    r"whatever becomes of": "name the cases",
    r"(of|are|is) (ours|yours|theirs)\b": "Corral's, your, the owner's",
    r"one's own|of a user's own": "your, the owner's",
    r"the like\b|and so on\b": "name the others, or leave them out",
    r"anew\b": "again",
    r"in vain|in earnest|as ever\b": "leave it out",
    r"has to show|have to show": "must send",
    r"goes? on from there": "resumes",
    r"\bmend(s|ed)?\b": "repair, install",
    r"under way\b": "in progress, running",
    r"deleted? by itself": "deleted automatically",
    r"(?<!there )(is|are) no (token|name|answer|host|disk|time|image)\b": "is not a …",
    r"come(s)? to nothing|came to nothing": "fail",
}
# Given word for word: the two documents. Generated: errors.md and openapi/, which are looked at by themselves.
_NOT_OURS = ("docs/documents/", "docs/openapi/", "docs/errors.md")


def pages() -> list[Path]:
    """Every page for people, but for what was released."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md"), ROOT / "deploy/README.md"]
    return [page for page in sorted(found) if not page.relative_to(ROOT).as_posix().startswith(_NOT_OURS)]


def _odd(where: str, text: str) -> list[str]:
    flat = " ".join(text.split())
    return [
        f"{where}: …{flat[max(0, match.start() - 40) : match.end() + 30]}…: {better}"
        for phrase, better in SAY_INSTEAD.items()
        for match in re.finditer(phrase, flat, re.IGNORECASE)
    ]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_is_in_plain_words(page: Path) -> None:
    text = page.read_text()
    if page.name == "CHANGELOG.md":
        text = text.partition("## Unreleased")[2].partition("\n## ")[0]
    assert _odd(page.name, text) == []


def test_error_texts_are_in_plain_words() -> None:
    assert [found for line in error_texts.page().splitlines() for found in _odd("an error", line)] == []


@pytest.mark.parametrize("package", ["agent", "api", "cli", "core", "corral", "workers"])
def test_messages_of_the_code_are_in_plain_words(package: str) -> None:
    """Those of the log, of the screen, and of errors that are no answers."""
    paths = sorted((ROOT / package).rglob("*.py"))
    assert [found for path in paths for text in _texts(path) for found in _odd(path.name, text)] == []


def test_help_is_in_plain_words() -> None:
    texts = [*_help(main, "corral"), *((each.name, each.about) for each in settings.variables().values())]
    assert len(texts) > 300
    assert [found for where, text in texts for found in _odd(where, text)] == []


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_descriptions_of_the_api_are_in_plain_words(dialect: str) -> None:
    texts = list(_descriptions(json.loads((ROOT / f"docs/openapi/{dialect}.json").read_text())))
    assert len(texts) > 300
    assert [found for text in texts for found in _odd(dialect, text)] == []


def test_a_phrase_is_found_across_lines() -> None:
    assert _odd("x", "What it says\n  is no\n  answer.") != []
    assert _odd("x", "The caller waits for an online host.") == []


def _texts(path: Path) -> Iterator[str]:
    """What is written in quotes there, but for docstrings."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def _help(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Each text of a command's help, and of the commands below it."""
    yield name, command.help or ""
    for parameter in command.params:
        yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            assert below is not None
            yield f"{name} {each}", below.get_short_help_str(200)
            yield from _help(below, f"{name} {each}")


def _descriptions(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("summary", "description") and isinstance(value, str):
                yield value
            else:
                yield from _descriptions(value)
    elif isinstance(node, list):
        for value in node:
            yield from _descriptions(value)

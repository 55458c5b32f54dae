"""Names and words that a guest has chosen come to a terminal as text, and do nothing there."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cli.main import main
from cli.remote.output import show_many, show_one
from cli.remote.session import Session
from cli.visible import as_json, visible

# Clears the screen; names the window; the same by one character; goes back; turns letters round; a line of its own.
TRICKS = ["\x1b[2Jx", "\x1b]0;x\x07", "\x9b2J", "a\r\x08b", "\u202egpj.exe", "a\nroot 0777 /etc/x", "\ud800\0"]
COLUMNS = {"PATH": "path", "MODIFIED": "modified_at"}


def obeyed(text: str) -> list[str]:
    return [letter for letter in text if letter != "\n" and not letter.isprintable()]


@pytest.mark.parametrize("name", TRICKS)
def test_a_name_is_shown_as_it_is_written(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"path": name, "inside": {"names": [name], "each": [{"name": name}]}}
    show_many(Session(None, "table", debug=False), [row, row], COLUMNS)
    told = capsys.readouterr().out
    assert (obeyed(told), len(told.splitlines())) == ([], 3)
    show_one(Session(None, "table", debug=False), row)
    assert obeyed(capsys.readouterr().out) == []
    for form in ("json", "yaml"):
        show_one(Session(None, form, debug=False), row)
        assert obeyed(capsys.readouterr().out) == []
    assert json.loads(as_json({"name": name}))["name"] == name


def test_a_name_in_a_pipe_is_what_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal, shown in ((False, "a\r\x08b\n"), (True, "a\\r\\x08b\n")):
        monkeypatch.setattr("sys.stdout.isatty", lambda is_terminal=is_terminal: is_terminal)
        show_many(Session(None, "name", debug=False), [{"path": "a\r\x08b"}], {}, name="path")
        assert capsys.readouterr().out == shown


@pytest.mark.parametrize("name", ["aaaa-aaaaaTaaaaaaaaaZ", "2026-13-45T99:99:99.0Z", "/2026-01-01T00:00:00Z"])
def test_a_name_that_looks_like_a_moment_is_a_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_many(Session(None, "table", debug=False), [{"path": name}], COLUMNS)
    assert name in capsys.readouterr().out


def test_letters_of_all_languages_stay_and_so_do_lines_of_a_message() -> None:
    assert visible("Ünïcödé 文字 🙂 [b]") == "Ünïcödé 文字 🙂 [b]"
    assert visible("a\nb\tc", lines=True) == "a\nb\\tc"


def test_an_error_does_nothing_on_a_terminal() -> None:
    told = CliRunner().invoke(main, ["context", "use", "\x1b[2J"])
    assert told.exit_code != 0
    assert "\\x1b[2J" in told.output
    assert obeyed(told.output) == []

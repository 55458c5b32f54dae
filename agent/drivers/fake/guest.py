"""A guest that understands a handful of commands and runs nothing on the host.

`true`, `false`, `exit N`, `echo WORDS`, `echo WORDS > FILE`, `cat FILE`, `sleep N`, `uname`; several joined by `&&`
or `;`.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass

from agent.drivers.base import ExecRequest
from core.contract.errors import GuestTimeout

NOT_FOUND = 127


@dataclass
class Shell:
    """One command line being interpreted; `files` are the guest's, and are changed in place."""

    files: dict[str, str]
    request: ExecRequest
    began: float
    out: str = ""
    err: str = ""

    def run(self) -> int:
        """Runs the line; the exit code of its last command."""
        code = 0
        for join, words in _split(self.request.command):
            if join != "&&" or code == 0:
                code = self._one(words)
        return code

    def _one(self, words: list[str]) -> int:
        name, *rest = words
        match name:
            case "true":
                return 0
            case "false":
                return 1
            case "exit" if rest and rest[0].isdigit():
                return int(rest[0]) % 256
            case "echo":
                return self._echo(rest)
            case "cat":
                return self._cat(rest)
            case "sleep" if rest:
                return self._sleep(rest[0])
            case "uname":
                self.out += "Linux fake 0.0.0 #1 corral x86_64 GNU/Linux\n" if rest else "Linux\n"
                return 0
            case _:
                self.err += f"sh: {name}: not found\n"
                return NOT_FOUND

    def _echo(self, words: list[str]) -> int:
        environment = self.request.environment or {}
        if len(words) >= 2 and words[-2] == ">":
            self.files[words[-1]] = _expanded(words[:-2], environment)
        else:
            self.out += _expanded(words, environment)
        return 0

    def _cat(self, names: list[str]) -> int:
        if not names:
            self.out += (self.request.stdin or b"").decode(errors="replace")
        for name in names:
            if name not in self.files:
                self.err += f"cat: {name}: No such file or directory\n"
                return 1
            self.out += self.files[name]
        return 0

    def _sleep(self, seconds: str) -> int:
        try:
            wanted = float(seconds)
        except ValueError:
            self.err += f"sleep: invalid time interval '{seconds}'\n"
            return 1
        left = self.began + self.request.timeout_seconds - time.monotonic()
        time.sleep(max(0.0, min(wanted, left)))
        if wanted > left:
            raise GuestTimeout(f"the command did not end within {self.request.timeout_seconds:g} s and was killed")
        return 0


def _expanded(words: list[str], environment: dict[str, str]) -> str:
    return " ".join(environment.get(word[1:], "") if word.startswith("$") else word for word in words) + "\n"


def _split(line: str) -> list[tuple[str, list[str]]]:
    """The commands of a line, each with what joins it to the one before."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&>")
    lexer.whitespace_split = True
    commands: list[tuple[str, list[str]]] = [("", [])]
    try:
        for word in lexer:
            if word in (";", "&&"):
                commands.append((word, []))
            else:
                commands[-1][1].append(word)
    except ValueError:
        return [("", ["unbalanced quotes"])]
    return [(join, words) for join, words in commands if words]

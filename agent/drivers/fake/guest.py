"""A guest that understands a handful of commands and runs nothing on the host.

`true`, `false`, `exit N`, `echo WORDS`, `echo WORDS > FILE`, `printf BYTES` (with `\\377` and the like), `cat FILE`,
`head -c N /dev/zero`, `sleep N`, `uname`, `stty size` on a terminal; several joined by `&&` or `;`. `WORDS >&2` goes to
the other output.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.drivers.capabilities.execs import Size
from agent.drivers.fake.tree import Tree

NOT_FOUND = 127
MOST_ZEROS = 64 * 1024 * 1024


@dataclass
class Shell:
    """One command line being interpreted on the guest's files.

    `sleep` lets that many seconds go by; `write` takes what is written to "stdout" or "stderr".
    """

    files: Tree
    sleep: Callable[[float], None]
    write: Callable[[str, bytes], None]
    environment: dict[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    size: Size | None = None
    exited: bool = False

    def run(self, line: str) -> int:
        """Runs the line; the exit code of its last command."""
        code = 0
        for join, words in _split(line):
            if join != "&&" or code == 0:
                code = self._one(words)
                if words[0] == "exit":
                    self.exited = True
                    break
        return code

    def _one(self, words: list[str]) -> int:
        name, *rest = words
        match name:
            case "true" | "false":
                return 0 if name == "true" else 1
            case "exit" if rest and rest[0].isdigit():
                return int(rest[0]) % 256
            case "echo":
                return self._echo(rest)
            case "cat":
                return self._cat(rest)
            case "sleep" if rest:
                return self._sleep(rest[0])
        return self._show(name, rest)

    def _show(self, name: str, words: list[str]) -> int:
        """The commands that only write."""
        match (name, *words):
            case ("printf", text):
                self.write("stdout", text.encode().decode("unicode_escape").encode("latin-1", "replace"))
            case ("head", "-c", count, "/dev/zero") if count.isdigit():
                self.write("stdout", bytes(min(int(count), MOST_ZEROS)))
            case ("uname", *options):
                self.write("stdout", b"Linux fake 0.0.0 #1 corral x86_64 GNU/Linux\n" if options else b"Linux\n")
            case ("stty", "size") if self.size is not None:
                self.write("stdout", f"{self.size.rows} {self.size.columns}\n".encode())
            case _:
                return self._fail(f"sh: {name}: not found", NOT_FOUND)
        return 0

    def _echo(self, words: list[str]) -> int:
        if len(words) >= 2 and words[-2] == ">":
            self.files.write_text(words[-1], self._expanded(words[:-2]))
        elif words[-2:] == [">&", "2"]:
            self.write("stderr", self._expanded(words[:-2]).encode())
        else:
            self.write("stdout", self._expanded(words).encode())
        return 0

    def _cat(self, names: list[str]) -> int:
        if not names:
            self.write("stdout", self.stdin)
        for name in names:
            text = self.files.read_text(name)
            if text is None:
                return self._fail(f"cat: {name}: No such file or directory", 1)
            self.write("stdout", text.encode())
        return 0

    def _sleep(self, seconds: str) -> int:
        try:
            self.sleep(max(0.0, float(seconds)))
        except ValueError:
            return self._fail(f"sleep: invalid time interval '{seconds}'", 1)
        return 0

    def _fail(self, says: str, code: int) -> int:
        self.write("stderr", f"{says}\n".encode())
        return code

    def _expanded(self, words: list[str]) -> str:
        return " ".join(self.environment.get(word[1:], "") if word.startswith("$") else word for word in words) + "\n"


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

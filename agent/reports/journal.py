"""The journal: commands that this host has begun and finished, on disk before anything is done or sent.

A commit of the main connection is on the disk when it returns (synchronous=FULL). The second connection only ticks
off what was sent, which may be forgotten at worst: the report is then sent once more.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from core.contract.errors import CorralError
from core.contract.messages import Command, VmSpec, decode, encode

SCHEMA = """
CREATE TABLE IF NOT EXISTS commands (
    operation_id TEXT PRIMARY KEY,
    attempt INTEGER NOT NULL,
    vm_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    command TEXT NOT NULL,
    phase TEXT NOT NULL CHECK (phase IN ('begun', 'finished')),
    step TEXT NOT NULL DEFAULT '',
    report TEXT,
    sent INTEGER NOT NULL DEFAULT 0,
    changed_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS tombstones (
    vm_id TEXT PRIMARY KEY, deleted_at REAL NOT NULL, home INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS generations (last INTEGER NOT NULL);
"""
ENTRY = "SELECT operation_id, attempt, step, report FROM commands WHERE operation_id = ?"
# Generations handed out since the last commit are lost with the process; a clock set back must not repeat them.
GENERATION_MARGIN = 60_000_000
KEEP_SECONDS = 7 * 86400
KEEP_ROWS = 10_000


@dataclass(frozen=True)
class JournalEntry:
    """The entry of one command. `attempt` is the newest seen; `report` is set once the command has finished."""

    operation_id: str
    attempt: int
    step: str = ""
    report: str | None = None
    resumed: bool = False


class Journal:
    """One host's journal; safe to use from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._durable = _open(path, "FULL")
        self._durable.executescript(SCHEMA)
        _add_homes(self._durable)
        self._casual = _open(path, "NORMAL")
        row = self._durable.execute("SELECT last FROM generations").fetchone()
        if row is None:
            self._durable.execute("INSERT INTO generations VALUES (0)")
        self._generation = row[0] + GENERATION_MARGIN if row else 0

    def begin(self, command: Command) -> JournalEntry:
        """Notes that a command is taken on, or what is already known of it, with the newer of both attempts."""
        with self._lock:
            known = self._entry(command.operation_id)
            if known is None:
                self._durable.execute(
                    "INSERT INTO commands (operation_id, attempt, vm_id, kind, command, phase, changed_at) "
                    "VALUES (?, ?, ?, ?, ?, 'begun', ?)",
                    (command.operation_id, command.attempt, command.vm.id, command.kind, encode(command), time.time()),
                )
                return JournalEntry(command.operation_id, command.attempt)
            if command.attempt > known.attempt:
                self._durable.execute(
                    "UPDATE commands SET attempt = ? WHERE operation_id = ?", (command.attempt, command.operation_id)
                )
            return JournalEntry(known.operation_id, max(known.attempt, command.attempt), known.step, known.report, True)

    def known(self, operation_id: str) -> JournalEntry | None:
        """What is known of a command, if anything."""
        with self._lock:
            return self._entry(operation_id)

    def mark(self, operation_id: str, step: str) -> None:
        """Notes that a step of a command is done, so that it is not done again."""
        with self._lock:
            self._durable.execute("UPDATE commands SET step = ? WHERE operation_id = ?", (step, operation_id))

    def finish(self, operation_id: str, report: str, *, deleted: VmSpec | None = None) -> None:
        """Keeps a command's last report, and the tombstone of the VM if it deleted one."""
        now = time.time()
        with self._lock, self._durable:
            self._durable.execute("BEGIN IMMEDIATE")
            self._durable.execute(
                "UPDATE commands SET phase = 'finished', report = ?, sent = 0, changed_at = ? WHERE operation_id = ?",
                (report, now, operation_id),
            )
            if deleted is not None:
                self._durable.execute(
                    "INSERT OR REPLACE INTO tombstones (vm_id, deleted_at, home) VALUES (?, ?, ?)",
                    (deleted.id, now, deleted.home),
                )
            self._durable.execute("UPDATE generations SET last = ?", (self._generation,))

    def refuse(self, operation_id: str, report: str) -> bool:
        """Finishes a command that has not come yet, so that it won't run; False if it is already known."""
        with self._lock:
            done = self._durable.execute(
                "INSERT OR IGNORE INTO commands "
                "(operation_id, attempt, vm_id, kind, command, phase, report, changed_at) "
                "VALUES (?, 0, '', '', '', 'finished', ?, ?)",
                (operation_id, report, time.time()),
            )
            return done.rowcount == 1

    def is_deleted(self, vm: VmSpec) -> bool:
        """Whether this host has deleted that VM: since then it may have been elsewhere, and come back."""
        query = "SELECT 1 FROM tombstones WHERE vm_id = ? AND home >= ?"
        with self._lock:
            return self._durable.execute(query, (vm.id, vm.home)).fetchone() is not None

    def unfinished(self) -> list[Command]:
        """The commands that were begun and not finished, oldest first, each with its newest attempt."""
        with self._lock:
            rows = self._durable.execute(
                "SELECT command, attempt FROM commands WHERE phase = 'begun' ORDER BY changed_at, rowid"
            ).fetchall()
        commands = []
        for text, attempt in rows:
            with suppress(CorralError):  # of an older release, in a form that is no longer read: left to its deadline
                commands.append(structs.replace(decode(Command, text), attempt=attempt))
        return commands

    def unsent(self) -> list[tuple[str, str]]:
        """Operation ids and final reports that may not have been sent, oldest first."""
        with self._lock:
            return self._durable.execute(
                "SELECT operation_id, report FROM commands WHERE phase = 'finished' AND sent = 0 "
                "ORDER BY changed_at, rowid"
            ).fetchall()

    def depth(self) -> tuple[int, int]:
        """(commands that were begun and not finished, final reports that were not sent)."""
        with self._lock:
            row: tuple[int, int] = self._durable.execute(
                "SELECT count(*) FILTER (WHERE phase = 'begun'), "
                "count(*) FILTER (WHERE phase = 'finished' AND sent = 0) FROM commands"
            ).fetchone()
        return row

    def sent(self, operation_ids: list[str]) -> None:
        """Ticks off final reports."""
        with self._lock, self._casual:
            self._casual.execute("BEGIN IMMEDIATE")
            self._casual.executemany(
                "UPDATE commands SET sent = 1 WHERE operation_id = ?", [(each,) for each in operation_ids]
            )

    def next_generation(self) -> int:
        """A number larger than any before, over restarts and a clock set back."""
        with self._lock:
            self._generation = max(self._generation + 1, time.time_ns() // 1000)
            return self._generation

    def prune(self, keep_seconds: float = KEEP_SECONDS, keep_rows: int = KEEP_ROWS) -> int:
        """Forgets finished commands whose report was sent, beyond an age and a number; how many."""
        oldest = time.time() - keep_seconds
        with self._lock, self._casual:
            self._casual.execute("BEGIN IMMEDIATE")
            gone = self._casual.execute(
                "DELETE FROM commands WHERE phase = 'finished' AND sent = 1 AND (changed_at < ? OR rowid <= "
                "(SELECT rowid FROM commands ORDER BY rowid DESC LIMIT 1 OFFSET ?))",
                (oldest, keep_rows),
            ).rowcount
            self._casual.execute("DELETE FROM tombstones WHERE deleted_at < ?", (oldest,))
            self._casual.execute("UPDATE generations SET last = ?", (self._generation,))
        return gone

    def close(self) -> None:
        """Lets go of the file."""
        with self._lock:
            self._casual.close()
            self._durable.close()

    def _entry(self, operation_id: str) -> JournalEntry | None:
        row = self._durable.execute(ENTRY, (operation_id,)).fetchone()
        return JournalEntry(*row) if row else None


def _add_homes(connection: sqlite3.Connection) -> None:
    """A journal of an older release has tombstones without them."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(tombstones)")}
    if "home" not in columns:
        connection.execute("ALTER TABLE tombstones ADD COLUMN home INTEGER NOT NULL DEFAULT 0")


def _open(path: Path, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    return connection

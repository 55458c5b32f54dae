"""The journal by itself."""

from __future__ import annotations

import dataclasses
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.reports.journal import Journal
from core.contract.commands import Start
from core.contract.messages import VmSpec, command

START = command("op", 1, VmSpec("vm", "web", "fake", "linux", 1, 1, 1), Start(), 0.0)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


def test_the_newest_attempt_is_kept(journal: Journal) -> None:
    assert not journal.begin(START).resumed
    assert journal.begin(replace(START, attempt=3)).attempt == 3
    assert journal.begin(replace(START, attempt=2)).attempt == 3
    assert [each.attempt for each in journal.unfinished()] == [3]


def test_a_finished_command_has_a_report_to_send(journal: Journal) -> None:
    journal.begin(START)
    journal.mark("op", "stopped")
    assert journal.begin(START).step == "stopped"
    journal.finish("op", "report")
    assert journal.begin(START).report == "report"
    assert journal.unfinished() == []
    assert journal.unsent() == [("op", "report")]
    journal.sent(["op"])
    assert journal.unsent() == []


def test_unsent_reports_come_in_the_order_they_were_made(journal: Journal) -> None:
    for name in ("b", "c", "a"):
        journal.begin(replace(START, operation_id=name))
    for name in ("c", "a", "b"):
        journal.finish(name, name)
    assert [each for each, _ in journal.unsent()] == ["c", "a", "b"]


def test_generations_grow_over_restarts_and_a_clock_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Journal(tmp_path / "j.sqlite")
    first.begin(START)
    before = first.next_generation()
    first.finish("op", "report")
    later = [first.next_generation() for _ in range(1000)]
    first.close()
    hour_ago = time.time_ns() - 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: hour_ago)
    second = Journal(tmp_path / "j.sqlite")
    assert second.next_generation() > later[-1] > before
    second.close()


def test_pruning_spares_what_is_unsent_unfinished_or_young(journal: Journal) -> None:
    for number in range(20):
        journal.begin(replace(START, operation_id=str(number)))
    for number in range(15):
        journal.finish(str(number), "report")
    journal.sent([str(number) for number in range(10)])
    assert journal.prune() == 0
    assert journal.prune(keep_rows=12) == 8
    assert journal.prune(keep_seconds=-1) == 2
    assert len(journal.unsent()) == 5
    assert len(journal.unfinished()) == 5


def test_a_refused_command_never_begins(journal: Journal) -> None:
    assert journal.refuse("op", "cancelled")
    assert not journal.refuse("op", "again")
    assert journal.begin(START).report == "cancelled"
    assert journal.unfinished() == []


def test_a_tombstone_comes_with_the_report(journal: Journal) -> None:
    journal.begin(START)
    vm = dataclasses.replace(START.vm, home=3)
    assert not journal.is_deleted(vm)
    journal.finish("op", "report", deleted=vm)
    assert journal.is_deleted(vm)
    assert journal.is_deleted(dataclasses.replace(vm, home=2))
    assert not journal.is_deleted(dataclasses.replace(vm, home=4))  # it was elsewhere, and has come back


def test_the_tombstones_of_an_older_release_are_read(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "journal.sqlite") as older:
        older.execute("CREATE TABLE tombstones (vm_id TEXT PRIMARY KEY, deleted_at REAL NOT NULL)")
        older.execute("INSERT INTO tombstones VALUES ('vm', 1.0)")
    older.close()
    for _ in range(2):
        journal = Journal(tmp_path / "journal.sqlite")
        assert journal.is_deleted(START.vm)
        assert not journal.is_deleted(dataclasses.replace(START.vm, home=1))
        journal.close()

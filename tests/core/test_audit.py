"""The audit log: append-only, in one chain, and proven so."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import InternalError

from cli.main import main
from core.contract.messages import Failure
from core.models import AuditEntry, AuditLink
from core.services import vms
from core.services.audit import chain, records
from core.services.audit.chain import Broken, Head
from core.services.audit.records import AuditRecord
from core.services.context import Actor

_SLIPPED_IN = """
INSERT INTO audit_entries (at, action_type, resource_type, resource_id, request_id, result, details)
VALUES (now(), 'vm_start', 'vm', 'x', '', 'success', '{}')
"""


def _write(transaction: Any, count: int = 1, name: str = "web") -> None:
    for _ in range(count):
        with transaction() as session:
            record = AuditRecord(
                "vm_start", "vm", name, "success", "req_1", status_code=200, details={"a": 1.5, "b": ["é"]}
            )
            records.write(session, record)


def _link(transaction: Any) -> int:
    with transaction() as session:
        return chain.link(session)


def _verify(transaction: Any, expected: Head | None = None) -> Head:
    with transaction() as session:
        return chain.verify(session, expected=expected)


def _as_superuser(engine: Engine, statement: str, **values: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        assert connection.execute(text(statement), values).rowcount == 1


@pytest.fixture
def head(transaction: Any) -> Head:
    """Six entries in a chain."""
    _write(transaction, 6)
    assert _link(transaction) == 6
    return _verify(transaction)


def test_what_was_written_is_linked_once(transaction: Any, head: Head) -> None:
    assert head.position == 6
    assert _link(transaction) == 0
    _write(transaction, 1)
    assert (_link(transaction), _verify(transaction, head).position) == (1, 7)


def test_an_empty_log_is_unbroken(transaction: Any) -> None:
    assert _verify(transaction) == Head(0, chain.FIRST)


@pytest.mark.parametrize("table", ["audit_entries", "audit_links"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET seq = seq", "DELETE FROM {}", "TRUNCATE {}"])
def test_nothing_is_taken_back(engine: Engine, head: Head, table: str, statement: str) -> None:
    with engine.connect() as connection, pytest.raises(InternalError, match="takes nothing back"):
        connection.execute(text(statement.format(table)))


@pytest.mark.parametrize(
    ("tampering", "named"),
    [
        ("UPDATE audit_entries SET user_id = 'nobody' WHERE seq = 3", "entry 3"),
        ("UPDATE audit_entries SET at = at + interval '1 microsecond' WHERE seq = 2", "entry 2"),
        ("UPDATE audit_entries SET details = details - 'a' WHERE seq = 6", "entry 6"),
        ("DELETE FROM audit_entries WHERE seq = 4", "entry 4"),
        ("DELETE FROM audit_links WHERE position = 5", "position 5 is missing"),
        ("UPDATE audit_links SET seq = 100 WHERE position = 1", "entry 100"),
        ("UPDATE audit_links SET sha256 = sha256(sha256) WHERE position = 6", "entry 6"),
        ("DELETE FROM audit_links WHERE position = 6", "entry 6 is not in the chain"),
        (_SLIPPED_IN, "entry 7 is not in the chain"),
    ],
)
def test_tampering_is_found_and_the_entry_named(
    transaction: Any, engine: Engine, head: Head, tampering: str, named: str
) -> None:
    _as_superuser(engine, tampering)
    with pytest.raises(Broken, match=named):
        _verify(transaction)


def test_an_entry_changed_with_its_link_is_found_at_the_next(transaction: Any, engine: Engine, head: Head) -> None:
    _as_superuser(engine, "UPDATE audit_entries SET user_id = 'nobody' WHERE seq = 3")
    with transaction() as session:
        before, entry = (session.get_one(kind, number) for kind, number in ((AuditLink, 2), (AuditEntry, 3)))
        values = [getattr(entry, column.name) for column in AuditEntry.__table__.columns]
        made = chain.digest(before.sha256, 3, values)
    _as_superuser(engine, "UPDATE audit_links SET sha256 = decode(:made, 'hex') WHERE position = 3", made=made.hex())
    with pytest.raises(Broken, match="entry 4"):
        _verify(transaction)


def test_a_tail_that_was_cut_off_shows_against_a_kept_head(transaction: Any, engine: Engine, head: Head) -> None:
    _as_superuser(engine, "DELETE FROM audit_links WHERE position = 6")
    _as_superuser(engine, "DELETE FROM audit_entries WHERE seq = 6")
    assert _verify(transaction).position == 5
    with pytest.raises(Broken, match="it was cut"):
        _verify(transaction, head)
    _write(transaction, 1)
    _link(transaction)
    with pytest.raises(Broken, match="position 6 is not the expected"):
        _verify(transaction, head)


def test_a_transaction_that_commits_late_is_linked_late_and_others_do_not_wait(transaction: Any) -> None:
    with transaction() as slow:
        slow.execute(text(_SLIPPED_IN))
        _write(transaction, 2)
        assert _link(transaction) == 2
    assert _link(transaction) == 1
    assert _verify(transaction).position == 3


def test_writers_and_linkers_at_once_make_one_chain(transaction: Any) -> None:
    jobs = [lambda: _write(transaction, 25)] * 4 + [lambda: [_link(transaction) for _ in range(20)]] * 2
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _link(transaction)
    assert _verify(transaction).position == 100


def test_pages_and_batches_make_no_difference(transaction: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "_BATCH", 2)
    monkeypatch.setattr(chain, "_PAGE", 2)
    _write(transaction, 5)
    assert [_link(transaction) for _ in range(4)] == [2, 2, 1, 0]
    paged = _verify(transaction)
    monkeypatch.undo()
    assert _verify(transaction, paged) == paged


def test_an_operation_that_fails_later_is_an_entry_of_its_own(
    transaction: Any, helpers: Any, actor: Actor, host: str
) -> None:
    with transaction() as session:
        operation = vms.create(session, actor, helpers.request("web"))
    helpers.apply(helpers.report(operation, "failed", failure=Failure("operation_failed", "no disk")))
    with transaction() as session:
        ((entry,), total) = records.list_of(
            session, Actor("a", "a", "admin"), records.AuditFilter(user_id=actor.user_id)
        )
    assert total == 1
    assert (entry.action_type, entry.resource_id, entry.result) == ("vm_create", "web", "failed")
    assert (entry.error_code, entry.details["operation_id"]) == ("operation_failed", operation.id)


def test_the_command_line_proves_it_or_names_the_entry(
    engine: Engine, database_url: str, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    kept = f"6:{head.sha256.hex()}"
    good = _run("audit", "verify", f"--expect={kept}")
    assert (good.exit_code, kept in good.output) == (0, True), good.output
    _as_superuser(engine, "UPDATE audit_entries SET resource_id = 'other' WHERE seq = 2")
    bad = _run("audit", "verify")
    assert (bad.exit_code, "entry 2 (position 2)" in bad.output) == (1, True), bad.output
    assert _run("audit", "verify", "--expect=x").exit_code == 2


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(main, arguments)

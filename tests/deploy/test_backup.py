"""`corral backup` and `corral restore` on real servers: what is in the file, and what comes back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pyrage
import pytest
from alembic import command
from sqlalchemy import text

from cli.fleet.postgres import Postgres
from core import database, migrate
from core.services import keys
from tests.deploy.backups import LOG, Corral, Old, content


def test_all_of_the_record_comes_back_and_its_credentials_open(
    corral: Corral, old: Old, new: str, file: Path, tmp_path: Path
) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    told = corral(new, "restore", file)
    assert "1 hosts, 1 users, 1 vms" in told
    assert content(new, *LOG) == content(old.url, *LOG)
    migrate.check(new)
    engine = database.connect(new, pool_size=1)
    with database.transaction(engine) as session:
        assert keys.authenticate(session, old.owner.secret).username == old.owner.actor.username
        actions = list(session.scalars(text("SELECT action_type FROM audit_entries ORDER BY seq")))
        # The log still refuses to be changed: triggers came back too.
        triggers = session.scalar(text("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal"))
    engine.dispose()
    assert actions == ["restore"]  # that of the backup was written after it
    assert triggers


def test_a_backup_is_in_the_audit_log_once_it_is_there(corral: Corral, old: Old, file: Path) -> None:
    (entry,) = content(old.url)["audit_entries"]
    assert "'backup'" in entry
    assert "'encrypted': False" in entry
    assert str(file.parent) not in entry


def test_settings_are_in_it_and_are_given_back_where_one_says(
    corral: Corral, old: Old, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORRAL_METRICS_TOKEN", "it's a token")
    file, to = tmp_path / "one.backup", tmp_path / "control.env"
    corral(old.url, "backup", file)
    monkeypatch.delenv("CORRAL_METRICS_TOKEN")
    corral(new, "restore", file, "--check", "--settings", to)
    assert to.stat().st_mode & 0o777 == 0o600
    shown = subprocess.run(
        ["sh", "-c", '. "$0"; printf %s "$CORRAL_METRICS_TOKEN"', str(to)], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "it's a token"
    assert "overwrites no file" in corral(new, "restore", file, "--check", "--settings", to, code=1)
    assert content(new) == {}


def test_by_hand_the_archive_says_what_it_is(file: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xf", file, "-C", tmp_path], check=True)
    subprocess.run(["sha256sum", "--check", "--quiet", "manifest.sha256"], cwd=tmp_path, check=True)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["schema"] == migrate.steps("").newest
    summed = subprocess.run(["sha256sum", "record.dump"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert summed.stdout.split()[0] == manifest["parts"]["record.dump"]["sha256"]
    listed = subprocess.run(["pg_restore", "--list", tmp_path / "record.dump"], capture_output=True, check=True)
    assert b"TABLE DATA public vms" in listed.stdout


def test_an_encrypted_one_opens_with_its_key_alone(corral: Corral, old: Old, new: str, tmp_path: Path) -> None:
    own, other = (pyrage.x25519.Identity.generate() for _ in range(2))
    (tmp_path / "own").write_text(f"# made by a test\n{own}\n")
    (tmp_path / "other").write_text(f"{other}\n")
    file = tmp_path / "one.backup"
    assert "encrypted" in corral(old.url, "backup", file, "--recipient", str(own.to_public()))
    assert file.read_bytes().startswith(b"age-encryption.org/v1\n")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "give the file with the secret key" in corral(new, "restore", file, code=1)
    assert "for another key, or damaged" in corral(new, "restore", file, "--identity", tmp_path / "other", code=1)
    assert "has no secret key" in corral(new, "restore", file, "--identity", file, code=1)
    assert "can't be read" in corral(new, "restore", file, "--identity", tmp_path / "none", code=1)
    changed = bytearray(file.read_bytes())
    changed[-2000] ^= 1
    (tmp_path / "changed").write_bytes(changed)
    damaged = corral(new, "restore", tmp_path / "changed", "--identity", tmp_path / "own", code=1)
    assert "for another key, or damaged" in damaged
    assert content(new) == {}
    corral(new, "restore", file, "--identity", tmp_path / "own")
    assert content(new, *LOG) == content(old.url, *LOG)
    assert "is not a public key" in corral(old.url, "backup", tmp_path / "two", "--recipient", "age1nobody", code=1)
    assert not (tmp_path / "two").exists()


def test_an_older_record_is_brought_up_to_date(
    corral: Corral, postgres: Postgres, old: Old, new: str, tmp_path: Path
) -> None:
    newest = migrate.steps("").newest
    command.downgrade(migrate.config(old.url), "-1")
    file = tmp_path / "older.backup"
    assert f"schema {newest}" not in corral(old.url, "backup", file)
    corral(new, "restore", file)
    migrate.check(new)

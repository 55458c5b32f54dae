"""`corral migrate` and `corral administrator`, on a database of one's own."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from cli.fleet.postgres import Postgres
from cli.main import main
from core import database
from core.services import keys


def told(monkeypatch: pytest.MonkeyPatch, command: str, url: str) -> Result:
    monkeypatch.setenv("DATABASE_URL", url)
    return CliRunner().invoke(main, [command])


def test_the_first_steps_of_a_control_plane(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.create_database("first_steps")
    early = told(monkeypatch, "administrator", url)
    assert early.exit_code == 1
    assert "run `corral migrate` first" in early.output
    for _ in range(2):
        assert told(monkeypatch, "migrate", url).exit_code == 0
    made = dict(line.split() for line in told(monkeypatch, "administrator", url).output.splitlines())
    engine = database.connect(url, pool_size=1)
    with database.transaction(engine) as session:
        actor = keys.authenticate(session, made["api_key"])
        assert (actor.username, actor.role) == (made["username"], "admin")
    engine.dispose()


NOWHERE = "postgresql://127.0.0.1:1/x"


@pytest.mark.parametrize(
    ("command", "url", "why"),
    [
        ("migrate", "", "DATABASE_URL is not set"),
        ("administrator", "", "DATABASE_URL is not set"),
        ("migrate", NOWHERE, "check DATABASE_URL"),
        ("administrator", NOWHERE, "the database can't be reached"),
    ],
)
def test_an_address_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch, command: str, url: str, why: str) -> None:
    failed = told(monkeypatch, command, url)
    assert failed.exit_code == 1
    assert why in failed.output
    assert "Traceback" not in failed.output

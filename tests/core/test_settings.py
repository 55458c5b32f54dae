"""Settings: read from the environment, checked, shown, and all of them in the manual."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import click.testing
import pytest

from cli.main import main
from core import settings

MANUAL = Path(__file__).parents[2] / "docs" / "operating.md"


def test_without_any_all_have_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in settings.variables().values():
        monkeypatch.delenv(variable.name, raising=False)
    assert settings.load() == settings.Settings()


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("CORRAL_PORT", "8080", "port", 8080),
        ("CORRAL_PORT", "", "port", 8000),
        ("CORRAL_FAKE", "0", "fake", False),
        ("CORRAL_PORTS", "2000-3000", "ports", (2000, 3000)),
        ("CORRAL_MEDIA", "/a:/b/../c", "media", (Path("/a"), Path("/b/../c"))),
        ("CORRAL_FIRMWARE", "/x", "firmware", Path("/x")),
        (
            "CORRAL_EGRESS_ALLOW",
            "10.20.0.0/16, fd00:1::/64 192.0.2.7",
            "egress_allow",
            (ip_network("10.20.0.0/16"), ip_network("fd00:1::/64"), ip_network("192.0.2.7/32")),
        ),
        ("CORRAL_VBOX_NETWORKS", "bridged:eth1,", "vbox_networks", ("bridged:eth1",)),
    ],
)
def test_a_text_becomes_a_value(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, field: str, value: object
) -> None:
    monkeypatch.setenv(name, text)
    assert getattr(settings.load(), field) == value


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("CORRAL_PORT", "x", "CORRAL_PORT='x': expected a whole number"),
        ("CORRAL_PORT", "65536", "CORRAL_PORT='65536': expected a whole number <= 65535"),
        ("CORRAL_API_WORKERS", "0", "CORRAL_API_WORKERS='0': expected a whole number >= 1"),
        ("CORRAL_FAKE", "yes", "CORRAL_FAKE='yes': expected 1 or 0"),
        ("CORRAL_PORTS", "7", "CORRAL_PORTS='7': expected a range like 20000-31999, got 1"),
        ("CORRAL_PORTS", "9-7", "CORRAL_PORTS='9-7': the first number must not be above the second"),
        ("CORRAL_EGRESS_DENY", "10.0.0.1/8", "CORRAL_EGRESS_DENY='10.0.0.1/8': 10.0.0.1/8 has host bits set"),
    ],
)
def test_what_can_not_be_used_is_named(monkeypatch: pytest.MonkeyPatch, name: str, text: str, problem: str) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(SystemExit) as failure:
        settings.load()
    assert str(failure.value) == problem


def test_the_command_shows_all_masks_secrets_and_names_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://corral:hidden@db/corral")
    monkeypatch.setenv("CORRAL_PROT", "8080")
    result = click.testing.CliRunner().invoke(main, ["settings", "-o", "json"])
    assert result.exit_code == 0
    assert "hidden" not in result.output
    for variable in settings.variables().values():
        assert f'"{variable.name}"' in result.stdout
    assert "CORRAL_PROT is not a setting (did you mean CORRAL_PORT?)" in result.stderr


def test_each_is_in_the_manual() -> None:
    listed = set(re.findall(r"`([A-Z_]+)`", MANUAL.read_text().split("## ")[1]))
    assert {variable.name for variable in settings.variables().values()} - listed == set()

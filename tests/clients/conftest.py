"""Clients of the public API, against a whole fleet with the fake driver: library, command line, tools for agents."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import click.testing
import pytest
from selenium import webdriver

from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from cli.fleet.share import Share
from cli.main import main
from corral import Client, NotFound
from corral.access import Access, Contexts
from tests.clients.browser import WIDE, Page, start

Run = Callable[..., click.testing.Result]


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Real processes, and an image that the fake driver is content with."""
    images = tmp_path_factory.mktemp("clients-images")
    (images / "linux-default").mkdir()
    (images / "linux-default" / "manifest.json").write_text("{}")
    plan = FleetPlan(
        home=tmp_path_factory.mktemp("clients-fleet") / "home",
        images=images,
        hypervisors=("fake",),
        flower=False,
        durable=False,
        image=False,
        share=Share(vcpus=64, memory_mb=64 * 1024, disk_gb=1000),
        environment={"RATE_LIMIT_BURST": "1000000", "RATE_LIMIT_HOURLY": "1000000"},
    )
    with Fleet(plan) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of contexts of its own, and nothing in the environment."""
    for name in ("CORRAL_URL", "CORRAL_TOKEN", "CORRAL_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CORRAL_CONFIG", str(tmp_path / "config.json"))
    return tmp_path / "config.json"


@pytest.fixture
def logged_in(fleet: Fleet, config: Path) -> Path:
    """The same, with the fleet as its one context."""
    Contexts("test", {"test": Access(fleet.url, fleet.credentials.api_key)}).save()
    return config


@pytest.fixture
def corral(logged_in: Path) -> Run:
    """Runs one command line, given as words; it has to end with `code`."""

    def run(*words: str, code: int = 0, given: str | bytes | None = None) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(main, words, input=given, prog_name="corral")
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    """The blocking client, by the administrator's API key."""
    with Client(fleet.url, fleet.credentials.api_key) as made:
        yield made


@pytest.fixture
def vm(client: Client) -> Iterator[str]:
    """A VM that runs, of the fake driver."""
    name = f"vm-{uuid.uuid4().hex[:8]}"
    client.vms.create(name, hypervisor="fake")
    client.vms.start(name)
    yield name
    try:
        client.vms.delete(name)
    except NotFound:
        pass  # the test did


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Debian's chromium, without a window."""
    made = start(tmp_path_factory.mktemp("chromium"))
    yield made
    made.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, fleet: Fleet) -> Iterator[Page]:
    """Logged in as the administrator. What the browser complains of fails the test."""
    made = Page(browser)
    made.shows(WIDE, "light")
    made.open(fleet)
    made.log_in(fleet.credentials.username, fleet.credentials.password)
    yield made
    told = browser.get_log("browser")  # type: ignore[no-untyped-call]
    # While the API is down, requests and sockets fail, which the browser tells of by itself.
    severe = [each["message"] for each in told if each["level"] == "SEVERE"]
    assert not [each for each in severe if "Failed to load resource" not in each and "WebSocket" not in each]

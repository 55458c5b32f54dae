"""The web page with 10,000 VMs: few requests and few rows, and no request for what a person does with the list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from sqlalchemy import create_engine, text

from bench.paper import add_vms, remove_vms
from cli.fleet.fleet import Fleet
from corral import Client
from tests.clients.browser import Page
from tests.support.waiting import until

MANY = 10_000
MOST_ROWS = 64
_ASKED = """
const asked = performance.getEntriesByType("resource").filter(({ name }) => name.includes("/api/v1/"));
return [asked.length, asked.reduce((bytes, { transferSize }) => bytes + transferSize, 0)];
"""


@pytest.fixture
def many(fleet: Fleet) -> Iterator[int]:
    """How many VMs the fleet has: 10,000 that only the database knows, and those of other tests."""
    add_vms(fleet.database_url, MANY)
    engine = create_engine(fleet.database_url)
    with engine.connect() as connection:
        yield connection.execute(text("SELECT count(*) FROM vms WHERE deleted_at IS NULL")).scalar_one()
    engine.dispose()
    remove_vms(fleet.database_url)


def asked(page: Page) -> tuple[int, int]:
    """How many requests the page has sent to the API, and how many bytes their answers had."""
    found: list[Any] = page.driver.execute_script(_ASKED)
    return found[0], found[1]


def rows(page: Page) -> list[str]:
    """The names of the rows that are in the document; never more than can be seen."""

    def found() -> list[str]:
        script = "return [...document.querySelectorAll('.rows tbody a')].map((each) => each.textContent)"
        names: list[str] = page.driver.execute_script(script)
        assert len(names) <= MOST_ROWS
        return names

    shown: list[str] = until(found, despite=StaleElementReferenceException)
    return shown


def test_ten_thousand_vms(page: Page, fleet: Fleet, client: Client, vm: str, many: int) -> None:
    page.open(fleet)
    page.log_in(fleet.credentials.username, fleet.credentials.password)
    page.sees(str(many), "h1 small")
    requests, size = asked(page)
    assert requests <= 2 + 2 + many // 1000  # login, status, and a list in parts of a thousand
    assert size < 4_000_000

    page.driver.execute_script("document.querySelector('.rows').scrollTop = 37 * 9000")
    until(lambda: "paper-09000" in rows(page))
    page.click("th button.sort", "Name")
    page.find("th[aria-sort=descending]")
    until(lambda: rows(page)[0] == vm or rows(page)[0].startswith("vm-"))
    page.type("input[type=search]", "paper-0123")
    page.sees("10 of", "h1")
    assert rows(page) == [f"paper-0123{digit}" for digit in reversed(range(10))]
    page.type("input[type=search]", "paper")
    page.click("thead input[type=checkbox]")
    page.sees(f"{MANY} chosen", ".outcome")
    assert asked(page)[0] == requests

    page.type("input[type=search]", vm)
    page.sees("running", "tbody")
    client.vms.stop(vm)
    page.sees("stopped", "tbody")
    assert asked(page)[0] == requests  # what happens is heard, and not asked for


def test_the_command_line_lists_them_all(many: int, client: Client) -> None:
    assert len(list(client.vms.list())) == many

"""The web page as axe-core sees it: no view, in no colours and at no width, has anything that it finds."""

from __future__ import annotations

import uuid

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By

from cli.fleet.fleet import Fleet
from corral import Client
from tests.clients.browser import PHONE, WIDE, Page
from tests.support.waiting import until

TABS = ("overview", "console", "run", "files", "snapshots", "devices", "events")
VIEWS = ("vms", "fleet", "operations", "images", "keys", "users", "webhooks", "audit", "create")
COLOURS = pytest.mark.parametrize("scheme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])


@pytest.fixture
def busy_vm(client: Client, vm: str) -> str:
    """One that has something in each of its tabs."""
    client.snapshots.create(vm, "first")
    client.vms.stop(vm)
    client.vms.start(vm)
    return vm


def found_on(page: Page, view: str) -> list[str]:
    """What axe finds there once everything is shown, with the view's name before it."""

    def settled() -> bool:
        waiting = page.driver.find_elements(By.CSS_SELECTOR, "[data-loading]")
        return not waiting and bool(page.driver.find_elements(By.CSS_SELECTOR, "h1"))

    until(settled, despite=StaleElementReferenceException)
    return [f"{view}: {rule} at {selector}: {html}" for rule, selector, html in page.violations()]


@COLOURS
@WIDTHS
def test_nothing_is_found_before_login(page: Page, fleet: Fleet, size: tuple[int, int], scheme: str) -> None:
    page.shows(size, scheme)
    page.open(fleet)
    found = found_on(page, "login")
    page.type("input[name=username]", f"nobody-{uuid.uuid4().hex[:6]}")
    page.type("input[name=secret]", "not the password")
    page.click("button.primary")
    page.find(".problem")
    found += found_on(page, "login, refused")
    assert not found, "\n".join(found)


@COLOURS
@WIDTHS
def test_nothing_is_found_on_the_fleets_views(page: Page, vm: str, size: tuple[int, int], scheme: str) -> None:
    page.shows(size, scheme)
    found: list[str] = []
    for view in VIEWS:
        page.go(view)
        page.find(f'header a[aria-current][href="#/{view}"]' if view != "create" else "form.sheet")
        found += found_on(page, view)
    assert not found, "\n".join(found)


@COLOURS
@WIDTHS
def test_nothing_is_found_on_a_vms_views(page: Page, busy_vm: str, size: tuple[int, int], scheme: str) -> None:
    page.shows(size, scheme)
    found: list[str] = []
    for tab in TABS:
        page.go(f"vm/{busy_vm}/{tab}")
        page.find(f'.tabs a[aria-current][href$="/{tab}"]')
        found += found_on(page, tab)
    assert not found, "\n".join(found)


@COLOURS
@WIDTHS
def test_nothing_is_found_where_something_is_told(
    page: Page, fleet: Fleet, client: Client, vm: str, size: tuple[int, int], scheme: str
) -> None:
    """Refusals, results, questions, secrets, empty lists, and a lost connection."""
    page.shows(size, scheme)
    page.go("vm/somebody-elses")
    page.find(".problem")
    found = found_on(page, "not found")
    client.request("POST", "/hosts/host-b/cordon", {"reason": "a new disk"})
    page.go("fleet")
    page.find(".host .note")
    found += found_on(page, "cordoned")
    client.request("POST", "/hosts/host-b/uncordon")
    page.go("keys")
    page.type("input[name=name]", "shown")
    page.click("main form button", "Create")
    page.find(".note code")
    found += found_on(page, "secret")
    page.click('button[aria-label="Revoke shown"]')
    page.find("dialog[open]")
    found += found_on(page, "question")
    page.click("dialog button", "Revoke")
    page.go("vms")
    page.type("input[type=search]", vm)
    page.click("thead input[type=checkbox]")
    page.click(".tools button", "start")
    page.find("td.result.bad")
    found += found_on(page, "results")
    page.type("input[type=search]", "no such VM")
    page.sees("No VM matches", ".empty")
    found += found_on(page, "no match")
    page.go(f"vm/{vm}/run")
    page.type("input[name=command]", "echo out; echo err >&2")
    page.click("main form button", "Run")
    page.find("pre")
    found += found_on(page, "output")
    fleet.kill("api", hold=True)
    page.sees("reconnecting", ".live")
    page.go("audit")
    page.find(".problem")
    found += found_on(page, "no connection")
    fleet.restart("api")
    page.sees("live", ".live.on")
    assert not found, "\n".join(found)

"""The web page, in a real browser: what a person clicks, types and sees."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import pytest
import requests
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException

from cli.fleet.fleet import Fleet
from corral import Client
from tests.clients.browser import PHONE, Page
from tests.support.waiting import until


def test_a_wrong_password_is_said(browser: webdriver.Chrome, fleet: Fleet) -> None:
    page = Page(browser)
    page.open(fleet)
    page.type("input[name=username]", f"nobody-{uuid.uuid4().hex[:6]}")
    page.type("input[name=secret]", "not the password")
    page.click("button.primary")
    assert page.find(".problem").text
    assert fleet.credentials.password not in browser.page_source
    assert browser.get_cookies() == []


def test_the_life_of_a_vm_by_clicking(page: Page) -> None:
    name = f"click-{uuid.uuid4().hex[:6]}"
    page.click("a.button.primary", "New VM")
    page.type("input[name=name]", name)
    page.driver.execute_script("document.querySelector('input[name=start]').click()")
    page.click("main button.primary", "Create")
    page.sees(name, "h1")
    page.sees("created", "h1 .status")
    page.click(".tools button", "start")
    page.sees("running", "h1 .status")
    page.click(".tabs a", "Run")
    page.type("input[name=command]", "echo seen on the page")
    page.click("main form button", "Run")
    page.sees("seen on the page", "pre")
    page.click(".tabs a", "Snapshots")
    page.type("input[name=name]", "good")
    page.click("main form button", "Take")
    page.sees("good", "tbody")
    page.click(".tabs a", "Console")
    page.sees("connected", "main [role=status]")
    page.sees("the fake VM is running", ".terminal")
    page.click(".tools button", "stop")
    page.sees("stopped", "h1 .status")
    page.click(".tools button.danger", "delete")
    page.click("dialog button", "Delete")
    page.sees("VMs", "h1")
    until(lambda: name not in page.find("main").text, despite=StaleElementReferenceException)


def test_what_others_do_is_seen_at_once(page: Page, client: Client, vm: str) -> None:
    page.go("vms")
    page.type("input[type=search]", vm)
    page.sees("running", "tbody")
    client.vms.stop(vm)
    page.sees("stopped", "tbody")


def test_a_restart_of_the_api_goes_by(page: Page, fleet: Fleet, client: Client, vm: str) -> None:
    page.sees("live", ".live")
    fleet.kill("api", hold=True)
    page.sees("reconnecting", ".live")
    fleet.restart("api")
    page.sees("live", ".live.on")
    page.go(f"vm/{vm}")
    client.vms.stop(vm)
    page.sees("stopped", "h1 .status")


def test_what_is_not_there_is_said(page: Page) -> None:
    page.go("vm/somebody-elses")
    page.sees("VM 'somebody-elses' not found", ".problem")


@pytest.mark.parametrize(
    "view", ["vms", "fleet", "operations", "images", "keys", "users", "webhooks", "audit", "create"]
)
def test_each_view_fits_a_phone(page: Page, vm: str, view: str) -> None:
    page.shows(PHONE, "light")
    page.go(view)
    page.find("main h1")
    wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    until(lambda: page.driver.execute_script(wider) <= 0, despite=StaleElementReferenceException)


def test_the_page_may_load_nothing_from_elsewhere(fleet: Fleet) -> None:
    answer = requests.get(fleet.url, headers={"Accept": "text/html"}, timeout=30)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy
    assert requests.get(f"{fleet.url}/page/../app.py", timeout=30).status_code == 404
    assert requests.get(f"{fleet.url}/page/%2e%2e/views.py", timeout=30).status_code == 404


def test_what_is_vendored_is_as_published() -> None:
    folder = Path(__file__).parents[2] / "api" / "page" / "static" / "vendor"
    lines = [line.split() for line in (folder / "SHA256SUMS").read_text().splitlines()]
    found = {path.name for path in folder.iterdir()} - {"SHA256SUMS", "README.md"}
    assert found == {name for _, name in lines}
    assert [hashlib.sha256((folder / name).read_bytes()).hexdigest() for _, name in lines] == [
        sum_ for sum_, _ in lines
    ]

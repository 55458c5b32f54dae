"""The web page, in a real browser: what a person clicks, types and sees."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from cli.fleet.fleet import Fleet
from corral import Client
from tests.support.waiting import until

_OPTIONS = (
    *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"),
    *("disable-background-networking", "disable-component-update", "window-size=1280,850"),
)


class Page:
    """The browser at the page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def find(self, selector: str, text: str = "") -> WebElement:
        """The element that fits, once it is there."""

        def there() -> WebElement | None:
            found = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return next((each for each in found if text in each.text), None)

        found: WebElement = until(there, despite=StaleElementReferenceException)
        return found

    def sees(self, text: str, selector: str = "main") -> None:
        """Returns once that can be read there."""
        self.find(selector, text)

    def click(self, selector: str, text: str = "") -> None:
        """Click what fits."""

        def clicked() -> bool:
            self.find(selector, text).click()
            return True

        until(clicked, despite=StaleElementReferenceException)

    def type(self, selector: str, text: str) -> None:
        """Type into what fits."""
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def go(self, place: str) -> None:
        """To a view, by its address."""
        self.driver.execute_script("location.hash = arguments[0]", f"#/{place}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Debian's chromium, without a window."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert program, "run scripts/setup dev"
    assert driver, "run scripts/setup dev"
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in (*_OPTIONS, f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield made
    made.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, fleet: Fleet) -> Iterator[Page]:
    """Logged in as the administrator. What the browser complains of fails the test."""
    browser.get("about:blank")
    browser.get(fleet.url)
    made = Page(browser)
    made.type("input[name=username]", fleet.credentials.username)
    made.type("input[name=secret]", fleet.credentials.password)
    made.click("button.primary")
    made.sees("VMs", "h1")
    yield made
    told = browser.get_log("browser")  # type: ignore[no-untyped-call]
    # While the API is down, requests and sockets fail, which the browser tells of by itself.
    severe = [each["message"] for each in told if each["level"] == "SEVERE"]
    assert not [each for each in severe if "Failed to load resource" not in each and "WebSocket" not in each]


def test_a_wrong_password_is_said(browser: webdriver.Chrome, fleet: Fleet) -> None:
    browser.get("about:blank")
    browser.get(fleet.url)
    page = Page(browser)
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
    page.driver.execute_script("window.confirm = () => true")
    page.click(".tools button.danger", "delete")
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


@pytest.mark.parametrize("view", ["vms", "fleet", "operations", "images", "keys", "audit", "create"])
def test_each_view_fits_a_phone(page: Page, vm: str, view: str) -> None:
    page.driver.set_window_size(400, 800)
    try:
        page.go(view)
        page.find("main h1")
        wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        until(lambda: page.driver.execute_script(wider) <= 0, despite=StaleElementReferenceException)
    finally:
        page.driver.set_window_size(1280, 850)


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

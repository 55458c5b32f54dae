"""Debian's chromium at the web page: what a person clicks, types and sees."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from cli.fleet.fleet import Fleet
from tests.support.waiting import until

WIDE, PHONE = (1280, 850), (400, 800)
_AXE = Path(__file__).parents[1] / "npm" / "node_modules" / "axe-core" / "axe.min.js"
_OPTIONS = (
    *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"),
    *("disable-background-networking", "disable-component-update", "window-size=1280,850"),
)
_FINDINGS = """
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ["violations"] }).then(
  ({ violations }) => done(violations.flatMap(
    ({ id, nodes }) => nodes.map(({ target, html }) => [id, target.join(" "), html]))),
  (error) => done([["axe", "", String(error)]]),
);
"""


def start(profile: Path) -> webdriver.Chrome:
    """A browser without a window, and with a profile of its own."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert program, "run scripts/setup dev"
    assert driver, "run scripts/setup dev"
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in (*_OPTIONS, f"user-data-dir={profile}"):
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


class Page:
    """The browser at the page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, fleet: Fleet) -> None:
        """The page anew, before anybody has logged in."""
        self.driver.get("about:blank")
        self.driver.get(fleet.url)

    def log_in(self, username: str, password: str) -> None:
        """By the form."""
        self.type("input[name=username]", username)
        self.type("input[name=secret]", password)
        self.click("button.primary")
        self.sees("VMs", "h1")

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

    def gone(self, selector: str) -> None:
        """Returns once nothing fits."""
        until(lambda: not self.driver.find_elements(By.CSS_SELECTOR, selector))

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

    def shows(self, size: tuple[int, int], scheme: str) -> None:
        """Have a window of that size, and the colours of that scheme: "light" or "dark"."""
        self.driver.set_window_size(*size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def violations(self) -> list[tuple[str, str, str]]:
        """What axe finds now: rule, selector, and the element."""
        self.driver.execute_script(_AXE.read_text())
        found: list[Any] = self.driver.execute_async_script(_FINDINGS)
        return [(rule, selector, html) for rule, selector, html in found]

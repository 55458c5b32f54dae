"""The web page without a mouse: a VM's life by keys alone."""

from __future__ import annotations

import uuid

from selenium.webdriver.common.keys import Keys

from cli.fleet.fleet import Fleet
from tests.clients.browser import Page

MOST_TABS = 60
_FOCUSED = (
    "return document.activeElement.matches(arguments[0]) && document.activeElement.textContent.includes(arguments[1])"
)
# Without a focus, the tab key goes on from where the last one was, were that gone by now.
_FROM_THE_TOP = """
const first = document.createElement("span");
first.tabIndex = -1;
document.body.prepend(first);
first.focus();
first.remove();
"""


def press(page: Page, *keys: str) -> None:
    """What has the focus gets these."""
    page.driver.switch_to.active_element.send_keys(*keys)


def tab_to(page: Page, selector: str, text: str = "") -> None:
    """By the tab key, to what fits."""
    for _ in range(MOST_TABS):
        if page.driver.execute_script(_FOCUSED, selector, text):
            return
        press(page, Keys.TAB)
    raise AssertionError(f"{MOST_TABS} tabs lead to no {selector} with '{text}'")


def test_the_life_of_a_vm_by_keys(page: Page, fleet: Fleet) -> None:
    page.open(fleet)
    page.find("input[name=username]")
    tab_to(page, "input[name=username]")
    press(page, fleet.credentials.username, Keys.TAB, fleet.credentials.password, Keys.ENTER)
    page.sees("VMs", "h1")
    name = f"key-{uuid.uuid4().hex[:6]}"
    tab_to(page, "a.button", "New VM")
    press(page, Keys.ENTER)
    page.find("input[name=name]")
    tab_to(page, "input[name=name]")
    press(page, name)
    tab_to(page, "input[name=start]")
    press(page, Keys.SPACE)
    tab_to(page, "button.primary", "Create")
    press(page, Keys.ENTER)
    page.sees("created", "h1 .status")
    tab_to(page, ".tools button", "start")
    press(page, Keys.ENTER)
    page.sees("running", "h1 .status")
    tab_to(page, ".tabs a", "Run")
    press(page, Keys.ENTER)
    page.find("input[name=command]")
    tab_to(page, "input[name=command]")
    press(page, "echo by keys", Keys.ENTER)
    page.sees("by keys", "pre")
    tab_to(page, ".tools button", "delete")
    press(page, Keys.ENTER)
    page.find("dialog[open]")
    press(page, Keys.ESCAPE)
    page.gone("dialog")
    tab_to(page, ".tools button", "delete")
    press(page, Keys.ENTER)
    page.find("dialog[open]")
    tab_to(page, "dialog button", "Delete")
    press(page, Keys.ENTER)
    page.sees("VMs", "h1")
    page.find(".empty, tbody")
    assert name not in page.driver.page_source


def test_the_list_is_scrolled_and_sorted_by_keys(page: Page, vm: str) -> None:
    tab_to(page, "th button.sort", "Status")
    press(page, Keys.ENTER)
    page.find("th[aria-sort=ascending]", "Status")
    press(page, Keys.SPACE)
    page.find("th[aria-sort=descending]", "Status")
    tab_to(page, f'input[aria-label="Choose {vm}"]')
    press(page, Keys.SPACE)
    page.sees("1 chosen", ".outcome")


def test_the_content_is_a_key_away(page: Page) -> None:
    page.driver.execute_script(_FROM_THE_TOP)
    press(page, Keys.TAB)
    assert page.driver.execute_script(_FOCUSED, "a.skip", "Skip")
    press(page, Keys.ENTER)
    assert page.driver.execute_script(_FOCUSED, "main", "VMs")

"""The web page's views beside VMs: what a person does there and is told."""

from __future__ import annotations

import uuid
from pathlib import Path

from corral import Client
from tests.clients.browser import Page
from tests.support.contents import noise


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:6]}"


def test_the_form_says_where_a_vm_would_be_placed(page: Page) -> None:
    page.go("create")
    page.sees("fits", ".placement li")
    page.type("input[name=require]", "zone=nowhere")
    page.sees("No host can take it", ".placement")
    page.sees("zone=nowhere", ".placement li small")
    page.type("input[name=require]", "not a label!")
    page.find(".placement .problem")


def test_a_host_says_why_it_takes_no_vms(page: Page, client: Client) -> None:
    page.go("fleet")
    page.sees("host-b", ".host h2")
    client.request("POST", "/hosts/host-b/cordon", {"reason": "a new disk"})
    page.sees("a new disk", ".host .note")
    client.request("POST", "/hosts/host-b/uncordon")
    page.gone(".host .note")


def test_many_vms_are_changed_at_once_each_with_a_result(page: Page, client: Client, vm: str) -> None:
    second = f"{vm}-too"
    client.vms.create(second, hypervisor="fake")
    page.type("input[type=search]", vm)
    page.sees(second, "tbody")
    page.click("thead input[type=checkbox]")
    page.sees("2 chosen", ".outcome")
    page.click(".tools button", "restart")
    page.sees("2 of 2, 1 failed", ".outcome")
    page.sees("done", "td.result")
    page.sees("not running", "td.result.bad")
    page.click(".tools button", "delete")
    page.click("dialog button", "Delete")
    page.sees("No VM", ".empty")


def test_a_key_is_shown_once_and_revoked(page: Page, client: Client) -> None:
    name = unique("key")
    page.go("keys")
    page.type("input[name=name]", name)
    page.click("main form button", "Create")
    secret = page.find(".note code").text
    with Client(client.transport.access.url, secret) as other:
        assert other.status()
    page.click(f'button[aria-label="Revoke {name}"]')
    page.click("dialog button", "Revoke")
    page.gone(f'button[aria-label="Revoke {name}"]')
    page.go("fleet")
    page.go("keys")
    page.sees("revoked", "tbody")
    assert secret not in page.driver.page_source


def test_users_are_registered_and_disabled(page: Page) -> None:
    name = unique("user")
    page.go("users")
    page.sees("admin", "tbody")
    page.type("input[name=username]", name)
    page.type("input[name=password]", "a long password")
    page.click("main form button", "Register")
    page.click(f'button[aria-label="Disable {name}"]')
    page.click("dialog button", "Disable")
    page.sees("disabled", "tbody .status")
    page.click(f'button[aria-label="Enable {name}"]')
    page.find(f'button[aria-label="Disable {name}"]')


def test_a_webhook_that_is_refused_says_why(page: Page) -> None:
    page.go("webhooks")
    page.type("input[name=url]", "https://127.0.0.1/hook")
    page.click("main form button", "Create")
    page.sees("private address", ".problem")


def test_an_image_is_uploaded_and_removed(page: Page, tmp_path: Path) -> None:
    name, disk = unique("image"), tmp_path / "disk.raw"
    disk.write_bytes(noise(510) + b"\x55\xaa" + noise(3 << 20))  # what a boot loader ends with
    page.go("images")
    page.type("input[name=name]", name)
    page.find("input[name=disk]").send_keys(str(disk))
    page.click("main form button", "Upload")
    page.sees(name, "tbody")
    page.click(f'button[aria-label="Remove {name}"]')
    page.click("dialog button", "Remove")
    page.gone(f'button[aria-label="Remove {name}"]')


def test_files_go_up_and_are_seen(page: Page, vm: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("seen")
    page.go(f"vm/{vm}/files")
    page.find("input[type=file]").send_keys(str(tmp_path / "notes.txt"))
    page.sees("notes.txt", "tbody")


def test_a_vm_shows_its_operations_and_all_its_events(page: Page, client: Client, vm: str) -> None:
    page.go(f"vm/{vm}/events")
    page.sees("vm created", "tbody")
    client.vms.stop(vm)
    page.sees("stopped", "tbody .status")
    page.go("operations")
    page.sees(vm, "tbody a")


def test_a_vm_is_resized_and_given_a_time_to_live(page: Page, client: Client, vm: str) -> None:
    client.vms.stop(vm)
    page.go(f"vm/{vm}")
    page.type("input[name=memory_mb]", "1024")
    page.click("main form button", "Resize")
    page.sees("1 GB", "dd")
    page.type("input[name=hours]", "2")
    page.click("main form button", "Set")
    page.sees("It is deleted at")
    assert client.vms.get(vm).expires_at
    page.click("main form button", "Keep it")
    page.sees("It is not deleted automatically")

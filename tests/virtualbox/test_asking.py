"""What VirtualBox says of a VM whose process begins or ends just now is no answer; each was seen in the lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.drivers.virtualbox import vboxmanage
from agent.drivers.virtualbox.vboxmanage import LOCKED, NOT_FOUND, VBoxManage, VBoxManageError

PROGRAM = """#!/bin/sh
cd "$(dirname "$0")"
echo again >> asked
[ "$(wc -l < asked)" -ge 3 ] && {{ echo 'VMState="running"'; exit 0; }}
echo 'VBoxManage: error: {text}' >&2
echo 'VBoxManage: error: Details: code {code} (0x80070005), component SessionMachine' >&2
exit 1
"""


def refusing(folder: Path, code: str, text: str) -> VBoxManage:
    """A VBoxManage that refuses twice and then answers."""
    program = folder / "VBoxManage"
    program.write_text(PROGRAM.format(code=code, text=text))
    program.chmod(0o755)
    return VBoxManage(str(program))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("E_ACCESSDENIED", "The object is not ready"),
        ("E_UNEXPECTED", "The session is not locked (session state: Unlocked)"),
        ("VBOX_E_INVALID_OBJECT_STATE", "The machine already has a lock request pending"),
        ("NS_ERROR_ABORT", "Operation aborted"),
        ("VBOX_E_VM_ERROR", "Failed to get a console object from the direct session"),
    ],
)
def test_what_is_no_answer_is_asked_again(tmp_path: Path, code: str, text: str) -> None:
    assert refusing(tmp_path, code, text).info("vm") == {"VMState": "running"}


def test_a_server_that_was_not_there_in_time_is_asked_again(tmp_path: Path) -> None:
    late = "Failed to create the VirtualBox object!"
    assert refusing(tmp_path, "NS_ERROR_FAILURE", late).run("modifymedium", "x") == 'VMState="running"\n'
    (tmp_path / "asked").unlink()
    with pytest.raises(VBoxManageError):
        refusing(tmp_path, "VBOX_E_FILE_ERROR", "no such file").run("modifymedium", "x")


def test_a_vm_that_is_not_there_is_asked_for_once(tmp_path: Path) -> None:
    assert refusing(tmp_path, "VBOX_E_OBJECT_NOT_FOUND", "Could not find it").info("vm") is None
    assert (tmp_path / "asked").read_text() == "again\n"


def test_what_is_refused_for_good_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vboxmanage, "ASK_SECONDS", 0.0)
    with pytest.raises(VBoxManageError, match="no rights"):
        refusing(tmp_path, "E_FAIL", "no rights").info("vm")


def test_a_vm_whose_settings_are_gone_since_is_known_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vboxmanage, "ASK_SECONDS", 0.0)
    assert refusing(tmp_path, "E_ACCESSDENIED", "The object functionality is limited").info("vm") == {}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "Could not find it\nVBoxManage: error: Details: code VBOX_E_OBJECT_NOT_FOUND (0x80bb0001), component X",
            NOT_FOUND,
        ),
        ("Failed to get a console object from the direct session (VBOX_E_INVALID_OBJECT_STATE)", LOCKED),
        ("The machine is not mutable (state is Running)", ""),
    ],
)
def test_the_code_is_found_wherever_it_is_said(said: str, reason: str) -> None:
    assert vboxmanage.refusal("snapshot", f"VBoxManage: error: {said}\n").reason == reason

"""What the real VBoxManage 7.2 printed (captured/), with names as odd as it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.drivers.virtualbox import output
from agent.drivers.virtualbox.adapters import parse as adapters
from agent.drivers.virtualbox.disks import places
from agent.drivers.virtualbox.output import ListedVm

UUID, GONE, BRACES = (
    "5b1d1c2e-0f4c-5a53-9c43-0d6b2f6f7c11",
    "6b1d1c2e-0f4c-5a53-9c43-0d6b2f6f7c12",
    "8b1d1c2e-0f4c-5a53-9c43-0d6b2f6f7c14",
)


def captured(name: str) -> str:
    """The whole output of one call."""
    return (Path(__file__).parent / "captured" / f"{name}.txt").read_text()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_values_are_unescaped_and_a_description_passes_for_nothing(newline: str) -> None:
    info = output.parse(captured("showvminfo").replace("\n", newline))
    assert info["name"] == 'vm-ünï "q" \\b'
    assert info["description"] == 'line "1"\nVMState="running"\nUUID="no"\n\\'
    assert (info["VMState"], info["UUID"], info["memory"]) == ("poweroff", UUID, "256")
    assert info["intnet2"] == 'a "b'  # which VBoxManage prints as it is
    assert info["CurrentSnapshotName"] == "one"


def test_places_and_adapters_are_read() -> None:
    info = output.parse(captured("showvminfo"))
    assert [(place.controller, place.port, place.device) for place in places(info)] == [
        ("SATA Controller", 0, 0),
        ("SATA Controller", 1, 0),
    ]
    assert places(info)[0].medium.endswith("}.vdi")
    assert places(info)[1].medium == ""
    assert [(each.slot, each.mode, each.type, each.network) for each in adapters(info)] == [
        (0, "nat", "virtio", None),
        (1, "intnet", "82540EM", 'a "b'),
    ]


def test_lists_tell_each_vm_once_and_of_lost_settings_no_state() -> None:
    assert output.parse_list(captured("list-long")) == [
        ListedVm(UUID, "powered off", output.parse_list(captured("list-long"))[0].since, 1, 256),
        ListedVm(GONE, None, ""),
        ListedVm(BRACES, "powered off", output.parse_list(captured("list-long"))[2].since, 1, 1024),
    ]
    assert output.parse_list(captured("list-long"))[0].since.startswith("2026-11-22T")
    assert output.parse_short(captured("list")) == [UUID, GONE, BRACES]


def test_media_are_read_with_their_parents() -> None:
    base, layer = output.parse_items(captured("hdds"))
    assert base["Location"].endswith('/vms/ä "x".vdi')
    assert base["Parent UUID"] == "base"
    assert layer["Parent UUID"] == base["UUID"]
    assert output.parse_item(captured("showmediuminfo"))["Size on disk"].endswith(" MBytes")


@pytest.mark.parametrize("text", ["", "\n\n", "=", '"=', 'a="', 'a="\\', "WARNING: no driver", '"a"b="c"'])
def test_anything_else_is_no_error(text: str) -> None:
    output.parse(text)
    output.parse_list(text)
    output.parse_items(text)
    output.parse_short(text)


def test_the_warning_that_debian_prints_first_is_passed_over() -> None:
    warning = "WARNING: The character device /dev/vboxdrv does not exist.\n\t Please install the virtualbox-dkms\n"
    assert output.parse(warning + 'VMState="saved"\n') == {"VMState": "saved"}

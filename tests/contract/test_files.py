"""Laws of every driver that reaches files in a guest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from agent.drivers.base import FileTarget
from core.contract.errors import DriverFailure, Unavailable
from core.contract.messages import VmSpec

if TYPE_CHECKING:
    from tests.contract.conftest import EveryVerb

FOLDER = "/root/files"


def write(
    driver: EveryVerb, vm: VmSpec, path: str, data: bytes, permissions: int = 0o644, *, late: bool = False
) -> str:
    """Writes a file; `late`: where it goes is said at the end only."""
    chunks = iter([data[start : start + 300_000] for start in range(0, len(data), 300_000)])
    return driver.file_write(vm, None if late else path, chunks, lambda: FileTarget(path, permissions)).path


def read(driver: EveryVerb, vm: VmSpec, path: str, first: int = 0, length: int | None = None) -> bytes:
    with driver.file_read(vm, path) as reading:
        return b"".join(reading.chunks(first, length))


def names(driver: EveryVerb, vm: VmSpec, path: str = FOLDER, *, recursive: bool = False) -> list[str]:
    return [entry.path for entry in driver.file_list(vm, path, recursive, 100).entries]


@pytest.mark.parametrize("late", [False, True])
def test_what_was_written_is_read_and_has_its_permissions(driver: EveryVerb, running: VmSpec, late: bool) -> None:
    data, path = os.urandom(700_001), f"{FOLDER}/one/two/{late}"
    assert write(driver, running, path, data, 0o4750, late=late) == path
    assert hashlib.sha256(read(driver, running, path)).digest() == hashlib.sha256(data).digest()
    (entry,) = [each for each in driver.file_list(running, f"{FOLDER}/one/two", False, 9).entries if each.path == path]
    assert (entry.kind, entry.size_bytes, entry.permissions) == ("file", len(data), 0o4750)
    with driver.file_read(running, path) as reading:
        assert reading.size_bytes == len(data)
        assert abs(reading.modified_at - entry.modified_at) < 2


def test_a_command_reads_what_was_written_and_the_other_way_round(
    bench: object, driver: EveryVerb, running: VmSpec
) -> None:
    from agent.drivers.base import ExecRequest

    write(driver, running, f"{FOLDER}/text", b"from outside\n")
    assert driver.execute(running, ExecRequest(f"cat {FOLDER}/text", 30.0)).stdout == b"from outside\n"
    driver.execute(running, ExecRequest(f"echo from inside > {FOLDER}/text", 30.0))
    assert read(driver, running, f"{FOLDER}/text") == b"from inside\n"


@pytest.mark.parametrize("data", [b"", b"x", bytes(256 * 1024), bytes(256 * 1024 + 1)], ids=len)
def test_sizes_around_a_piece(driver: EveryVerb, running: VmSpec, data: bytes) -> None:
    write(driver, running, f"{FOLDER}/size", data)
    assert read(driver, running, f"{FOLDER}/size") == data


def test_a_part_is_read(driver: EveryVerb, running: VmSpec) -> None:
    data = bytes(range(256)) * 2000
    write(driver, running, f"{FOLDER}/part", data)
    assert read(driver, running, f"{FOLDER}/part", 1000, 300_000) == data[1000:301_000]
    assert read(driver, running, f"{FOLDER}/part", len(data) - 7) == data[-7:]


@pytest.mark.parametrize("name", ["a b", "new\nline", "-rf", "'quote\"", "$HOME", "ünï", "*", "back\\slash"])
def test_odd_names(driver: EveryVerb, running: VmSpec, name: str) -> None:
    path = f"{FOLDER}/odd/{name}"
    write(driver, running, path, name.encode())
    assert read(driver, running, path) == name.encode()
    assert path in names(driver, running, f"{FOLDER}/odd")


def test_a_broken_transfer_leaves_the_old_file_and_nothing_else(driver: EveryVerb, running: VmSpec) -> None:
    path = f"{FOLDER}/broken/file"
    write(driver, running, path, b"old")

    def half() -> Iterator[bytes]:
        yield bytes(300_000)
        raise Unavailable("the client is gone")

    with pytest.raises(Unavailable, match="client is gone"):
        driver.file_write(running, path, half(), lambda: FileTarget(path, 0o644))
    assert read(driver, running, path) == b"old"
    assert names(driver, running, f"{FOLDER}/broken") == [path]


@pytest.mark.parametrize(
    ("path", "code"), [(f"{FOLDER}/no/such", "file_not_found"), (FOLDER, "is_a_directory"), ("/", "is_a_directory")]
)
def test_what_can_not_be_read(driver: EveryVerb, running: VmSpec, path: str, code: str) -> None:
    write(driver, running, f"{FOLDER}/x", b"")
    with pytest.raises(DriverFailure) as failure:
        read(driver, running, path)
    assert failure.value.code == code


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("path", "code"), [(FOLDER, "is_a_directory"), (f"{FOLDER}/x/y", "file_refused"), (f"/{'n' * 300}", "file_refused")]
)
def test_where_nothing_can_be_written(driver: EveryVerb, running: VmSpec, path: str, code: str, late: bool) -> None:
    write(driver, running, f"{FOLDER}/x", b"")
    with pytest.raises(DriverFailure) as failure:
        write(driver, running, path, b"data", late=late)
    assert failure.value.code == code


def test_a_folder_is_listed_with_or_without_those_below_it(driver: EveryVerb, running: VmSpec) -> None:
    for name in ("b", "a", "c/d/e"):
        write(driver, running, f"{FOLDER}/tree/{name}", b"12345")
    tree = f"{FOLDER}/tree"
    assert names(driver, running, tree) == [f"{tree}/a", f"{tree}/b", f"{tree}/c"]
    deep = driver.file_list(running, tree, True, 100)
    assert [(each.path.removeprefix(tree), each.kind) for each in deep.entries] == [
        ("/a", "file"),
        ("/b", "file"),
        ("/c", "directory"),
        ("/c/d", "directory"),
        ("/c/d/e", "file"),
    ]
    assert not deep.truncated
    part = driver.file_list(running, tree, True, 2)
    assert (len(part.entries), part.truncated) == (2, True)


@pytest.mark.parametrize(("path", "code"), [("/no/such", "file_not_found"), (f"{FOLDER}/x", "not_a_directory")])
def test_what_can_not_be_listed(driver: EveryVerb, running: VmSpec, path: str, code: str) -> None:
    write(driver, running, f"{FOLDER}/x", b"")
    with pytest.raises(DriverFailure) as failure:
        driver.file_list(running, path, False, 10)
    assert failure.value.code == code


def test_the_files_of_a_vm_that_does_not_run_can_not_be_reached(driver: EveryVerb, vm: VmSpec) -> None:
    for verb in (
        lambda: write(driver, vm, "/x", b""),
        lambda: read(driver, vm, "/x"),
        lambda: driver.file_list(vm, "/", False, 10),
    ):
        with pytest.raises(DriverFailure) as failure:
            verb()
        assert failure.value.code == "vm_not_running"

"""Laws of every driver that reaches files in a guest. A write is dear where the guest is emulated: there are few."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from agent.drivers.capabilities.files import FileTarget
from core.contract.errors import DriverFailure, Unavailable
from core.contract.messages import VmSpec
from tests.support.contents import noise

if TYPE_CHECKING:
    from tests.contract.conftest import Bench, EveryVerb

FOLDER = "/root/files"


@pytest.fixture(autouse=True)
def reached(bench: Bench, request: pytest.FixtureRequest) -> None:
    """Not every driver reaches files in the guest."""
    bench.need("files")
    if "running" in request.fixturenames:
        bench.need_guest()


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
    data, path = noise(700_001), f"{FOLDER}/one/two/{late}"
    assert write(driver, running, path, data, 0o4750, late=late) == path
    with driver.file_read(running, path) as reading:
        assert reading.size_bytes == len(data)
        assert b"".join(reading.chunks(0, None)) == data
    (entry,) = [each for each in driver.file_list(running, f"{FOLDER}/one/two", False, 9).entries if each.path == path]
    assert (entry.kind, entry.size_bytes, entry.permissions) == ("file", len(data), 0o4750)
    assert abs(reading.modified_at - entry.modified_at) < 2
    assert read(driver, running, path, 1000, 300_000) == data[1000:301_000]


def test_a_command_reads_what_was_written_and_the_other_way_round(
    bench: Bench, driver: EveryVerb, running: VmSpec
) -> None:
    write(driver, running, f"{FOLDER}/text", b"from outside\n")
    assert bench.run(running, f"cat {FOLDER}/text").stdout == b"from outside\n"
    bench.run(running, f"echo from inside > {FOLDER}/text")
    assert read(driver, running, f"{FOLDER}/text") == b"from inside\n"


def test_sizes_around_a_piece(driver: EveryVerb, running: VmSpec) -> None:
    for data in (b"", bytes(256 * 1024 + 1)):
        write(driver, running, f"{FOLDER}/size", data)
        assert read(driver, running, f"{FOLDER}/size") == data


def test_odd_names(driver: EveryVerb, running: VmSpec) -> None:
    odd = [f"{FOLDER}/odd/{name}" for name in ("-rf $HOME *", "new\nline'quote\" \\ünï")]
    for path in odd:
        write(driver, running, path, path.encode())
        assert read(driver, running, path) == path.encode()
    assert names(driver, running, f"{FOLDER}/odd") == sorted(odd)


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


def test_what_can_not_be_done_is_told_by_its_code(driver: EveryVerb, running: VmSpec) -> None:
    write(driver, running, f"{FOLDER}/x", b"")
    for path, code in ((f"{FOLDER}/no", "file_not_found"), (FOLDER, "is_a_directory"), ("/", "is_a_directory")):
        with pytest.raises(DriverFailure) as failure:
            read(driver, running, path)
        assert failure.value.code == code
    for path, code in ((f"{FOLDER}/no", "file_not_found"), (f"{FOLDER}/x", "not_a_directory")):
        with pytest.raises(DriverFailure) as failure:
            names(driver, running, path)
        assert failure.value.code == code
    for path, code, late in (
        (FOLDER, "is_a_directory", False),
        (FOLDER, "is_a_directory", True),
        (f"{FOLDER}/x/y", "file_refused", False),
        (f"/{'n' * 300}", "file_refused", True),
    ):
        with pytest.raises(DriverFailure) as failure:
            write(driver, running, path, b"data", late=late)
        assert failure.value.code == code


def test_a_folder_is_listed_with_or_without_those_below_it(driver: EveryVerb, running: VmSpec) -> None:
    tree = f"{FOLDER}/tree"
    for name in ("b", "a/b/c"):
        write(driver, running, f"{tree}/{name}", b"12345")
    assert names(driver, running, tree) == [f"{tree}/a", f"{tree}/b"]
    deep = driver.file_list(running, tree, True, 100)
    assert [(each.path.removeprefix(tree), each.kind) for each in deep.entries] == [
        ("/a", "directory"),
        ("/a/b", "directory"),
        ("/a/b/c", "file"),
        ("/b", "file"),
    ]
    assert not deep.truncated
    part = driver.file_list(running, tree, True, 2)
    assert (len(part.entries), part.truncated) == (2, True)


def test_the_files_of_a_vm_that_does_not_run_can_not_be_reached(driver: EveryVerb, vm: VmSpec) -> None:
    for verb in (
        lambda: write(driver, vm, "/x", b""),
        lambda: read(driver, vm, "/x"),
        lambda: driver.file_list(vm, "/", False, 10),
    ):
        with pytest.raises(DriverFailure) as failure:
            verb()
        assert failure.value.code == "vm_not_running"

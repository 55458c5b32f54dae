"""Terminals by the library, blocking and not, on a real fleet with the fake driver."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cli.fleet.fleet import Fleet
from corral import AsyncClient, Client, NotFound, Unreachable
from corral._sync.terminals import Terminal
from tests.clients.conftest import Run
from tests.support.waiting import until


def test_a_terminal_is_read_and_typed_on(client: Client, vm: str) -> None:
    begun = client.commands.begin(vm, "sh", tty=(24, 80))
    assert begun.tty
    shown, told = b"", False
    with client.commands.terminal(vm, begun.id) as terminal:
        with pytest.raises(Unreachable):
            terminal.type(b"too early")
        for data in terminal:
            shown += data
            if shown.endswith(b"$ ") and not told:
                terminal.resize(50, 132)
                terminal.type(b"stty size; exit 7\r")
                told = True
    assert (terminal.state, terminal.exit_code, terminal.refused) == ("exited", 7, [])
    assert b"50 132\r\n" in shown
    with client.commands.terminal(vm, begun.id, offset=2) as again:
        assert b"".join(again) == shown[2:]
        assert again.offset == len(shown)
    client.commands.forget(vm, begun.id)
    with pytest.raises(NotFound), client.commands.terminal(vm, begun.id) as gone:
        next(iter(gone))


def was_typed(terminal: Terminal, keys: bytes) -> bool:
    try:
        terminal.type(keys)
    except Unreachable:
        return False
    return True


def typed(terminal: Terminal, keys: bytes) -> None:
    """As soon as there is a connection."""
    until(lambda: was_typed(terminal, keys))


def test_it_outlives_a_restart_of_the_api_and_the_agent(fleet: Fleet, client: Client, vm: str) -> None:
    begun = client.commands.begin(vm, "sh", tty=(24, 80))
    shown = bytearray()
    with client.commands.terminal(vm, begun.id) as terminal:

        def watch() -> None:
            for data in terminal:
                shown.extend(data)

        reader = threading.Thread(target=watch)
        reader.start()
        for number, name in enumerate(["api", client.vms.get(vm).host], 1):
            until(lambda: shown.endswith(b"$ "))
            fleet.restart(name)
            typed(terminal, b"echo hello\r")
            until(lambda: shown.count(b"hello\r\n") == 2 * number)  # noqa: B023 -- is over before the next one
        typed(terminal, b"\x04")
        reader.join()
    assert terminal.exit_code == 0
    assert shown.count(b"hello\r\n") == 4, "what is typed and what it says, each once"


def test_without_blocking(fleet: Fleet, vm: str) -> None:
    async def sit() -> tuple[bytes, int | None]:
        async with AsyncClient(fleet.url, fleet.credentials.api_key) as client:
            begun = await client.commands.begin(vm, "sh", tty=(24, 80))
            shown = b""
            async with client.commands.terminal(vm, begun.id) as terminal:
                async for data in terminal:
                    shown += data
                    if shown == b"$ ":
                        await terminal.type(b"exit 3\r")
            return shown, terminal.exit_code

    shown, code = asyncio.run(sit())
    assert shown.startswith(b"$ exit 3\r\n")
    assert code == 3


def test_the_command_line_needs_a_terminal(corral: Run, vm: str) -> None:
    assert "a terminal is needed" in corral("vm", "exec", "-it", vm, "sh", code=2).stderr
    assert "a terminal is needed" in corral("vm", "shell", vm, code=2).stderr
    assert "exclude each other" in corral("vm", "exec", "-td", vm, "sh", code=2).stderr

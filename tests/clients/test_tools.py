"""What an AI agent does with the tools."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from mcp import Client, StdioServerParameters
from mcp.types import Tool

from cli.fleet.fleet import Fleet
from cli.mcp.server import make
from corral import AsyncClient
from corral import Client as Corral

Call = Callable[..., Awaitable[str]]


def _served(fleet: Fleet, talk: Callable[[Client], Awaitable[None]], *, read_only: bool = False) -> None:
    async def run() -> None:
        async with (
            AsyncClient(fleet.url, fleet.credentials.api_key) as corral,
            Client(make(lambda: corral, read_only=read_only)) as client,
        ):
            await talk(client)

    asyncio.run(run())


async def _call(client: Client, tool: str, /, *, fails: bool = False, **arguments: object) -> str:
    result = await client.call_tool(tool, arguments)
    text = "".join(getattr(part, "text", "") for part in result.content)
    assert bool(result.is_error) == fails, text
    return text


def test_a_machine_of_ones_own(fleet: Fleet) -> None:
    async def talk(client: Client) -> None:
        made = await _call(client, "vm_create", name="box")
        assert made.startswith("box: running")
        assert "deleted automatically at" in made
        assert (await _call(client, "vm_create", name="box")).startswith("box: running"), (
            "the same again is the same VM"
        )
        assert "3 bytes" in await _call(client, "file_write", name="box", path="/srv/x", content="abc")
        assert await _call(client, "file_read", name="box", path="/srv/x") == "abc"
        assert "/srv/x" in await _call(client, "file_list", name="box", path="/srv")
        said = await _call(client, "run", name="box", command="echo hello; exit 3")
        assert said == "exited, exit code 3\nstdout:\nhello\n"
        await _call(client, "snapshot", name="box", snapshot="good")
        assert "snapshots: good" in await _call(client, "vm_info", name="box")
        await _call(client, "restore", name="box", snapshot="good")
        address = await _call(client, "expose_port", name="box", guest_port=80)
        assert await _call(client, "expose_port", name="box", guest_port=80) == address
        assert "stopped" in await _call(client, "vm_power", name="box", action="stop")
        assert "box: stopped" in await _call(client, "vm_list")
        await _call(client, "vm_delete", name="box")
        assert "not found" in await _call(client, "vm_info", name="box", fails=True)

    _served(fleet, talk)


def test_what_an_agent_makes_has_a_time_to_live(fleet: Fleet) -> None:
    async def talk(client: Client) -> None:
        await _call(client, "vm_create", name="brief", ttl_minutes=100_000)

    _served(fleet, talk)
    with Corral(fleet.url, fleet.credentials.api_key) as corral:
        ends = corral.vms.get("brief").expires_at
        assert ends is not None
        assert ends <= datetime.now(UTC) + timedelta(hours=1)
        corral.vms.delete("brief")


def test_errors_are_told(fleet: Fleet) -> None:
    async def talk(client: Client) -> None:
        assert "VM 'none' not found" in await _call(client, "run", name="none", command="true", fails=True)
        assert "vcpus" in await _call(client, "vm_create", vcpus=0, fails=True)
        await _call(client, "vm_power", name="none", action="explode", fails=True)

    _served(fleet, talk)


def _tools(fleet: Fleet, *, read_only: bool) -> list[Tool]:
    found: list[Tool] = []

    async def talk(client: Client) -> None:
        found.extend((await client.list_tools()).tools)

    _served(fleet, talk, read_only=read_only)
    return found


def test_the_tools_are_few_and_short(fleet: Fleet) -> None:
    tools = _tools(fleet, read_only=False)
    assert len(tools) <= 14
    text = json.dumps([tool.model_dump(exclude_none=True) for tool in tools])
    assert len(text) / 4 < 4000, "about four characters a token"
    assert all(tool.description for tool in tools)


def test_read_only_offers_nothing_that_changes(fleet: Fleet) -> None:
    names = {tool.name for tool in _tools(fleet, read_only=True)}
    assert names == {"vm_list", "vm_info", "logs", "file_list", "file_read", "run_output"}


@pytest.mark.parametrize("words", [["mcp"], ["mcp", "--read-only"]])
def test_the_command_serves_on_standard_input_and_output(fleet: Fleet, words: list[str]) -> None:
    async def run() -> list[str]:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-c", "from cli.main import main; main(prog_name='corral')", *words],
            env={"CORRAL_URL": fleet.url, "CORRAL_TOKEN": fleet.credentials.api_key, "PATH": "/usr/bin:/bin"},
        )
        async with Client(server) as client:
            return [tool.name for tool in (await client.list_tools()).tools]

    assert "vm_list" in asyncio.run(run())

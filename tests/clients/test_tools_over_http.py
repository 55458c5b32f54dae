"""The tools over streamable HTTP: each caller with what is theirs, and nobody without a key."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest
import requests
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from cli.fleet import ports
from cli.fleet.fleet import Fleet
from tests.support.clients import Client as User
from tests.support.clients import new_user
from tests.support.waiting import until

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ACCEPTED = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def url(fleet: Fleet) -> Iterator[str]:
    """Of `corral mcp --listen`, which is called tools.example.org too."""
    port = ports.choose()
    words = ["mcp", f"--listen=127.0.0.1:{port}", f"--url={fleet.url}", "--name=tools.example.org"]
    command = [sys.executable, "-c", "from cli.main import main; main(prog_name='corral')", *words]
    process = subprocess.Popen(command, env={"PATH": "/usr/bin:/bin", "HOME": str(fleet.home)})
    try:
        found = f"http://127.0.0.1:{port}/mcp"
        until(lambda: requests.get(found, timeout=5).status_code, despite=requests.RequestException)
        yield found
    finally:
        process.terminate()
        process.wait(20)


def called(url: str, key: str, tool: str, **arguments: object) -> tuple[bool, str]:
    """Whether the tool failed, and what it said."""

    async def run() -> tuple[bool, str]:
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=60) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            result = await client.call_tool(tool, arguments)
            return bool(result.is_error), "".join(getattr(part, "text", "") for part in result.content)

    return asyncio.run(run())


def _token(user: User) -> str:
    return user.bearer["Authorization"].removeprefix("Bearer ")


def test_each_caller_has_their_own_machines(fleet: Fleet, url: str) -> None:
    ann, bob = _token(new_user(fleet)), _token(new_user(fleet))
    failed, said = called(url, ann, "vm_create", name="over-http")
    assert not failed, said
    try:
        assert called(url, ann, "run", name="over-http", command="echo hello") == (
            False,
            "exited, exit code 0\nstdout:\nhello\n",
        )
        assert called(url, bob, "vm_list") == (False, "no VMs; vm_create creates one")
        failed, said = called(url, bob, "vm_info", name="over-http")
        assert failed
        assert "not found" in said
    finally:
        called(url, ann, "vm_delete", name="over-http")


def test_without_a_key_nothing_is_answered(url: str) -> None:
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic YTpi"}):
        answer = requests.post(url, json=PING, headers=ACCEPTED | headers, timeout=20)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_wrong_key_is_an_error_of_the_tool(url: str) -> None:
    failed, said = called(url, "corral_wrong", "vm_list")
    assert failed
    assert "invalid API key" in said


@pytest.mark.parametrize(("name", "status"), [("tools.example.org", 200), ("evil.example.org", 421)])
def test_a_page_of_another_name_does_not_reach_it(fleet: Fleet, url: str, name: str, status: int) -> None:
    """DNS rebinding: the browser of somebody on this machine would send such a Host header."""
    headers = ACCEPTED | {"Host": name, "X-API-Key": fleet.credentials.api_key}
    assert requests.post(url, json=PING, headers=headers, timeout=20).status_code == status


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:", "127.0.0.1:99999", ":x"])
def test_a_bad_address_is_refused(listen: str) -> None:
    command = [sys.executable, "-c", "from cli.main import main; main(prog_name='corral')", "mcp", f"--listen={listen}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is not HOST:PORT, such as 127.0.0.1:8100" in done.stderr

"""The client: one fleet, one caller."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import IO, Any

from websockets.asyncio.client import ClientConnection

from corral import _http, access
from corral._async.devices import AsyncDevices, AsyncSnapshots
from corral._async.events import listen
from corral._async.guests import AsyncCommands, AsyncFiles, Entries
from corral._async.images import AsyncImages, AsyncMedia
from corral._async.joining import AsyncJoinTokens
from corral._async.resources import (
    AsyncAudit,
    AsyncHosts,
    AsyncKeys,
    AsyncOperations,
    AsyncScans,
)
from corral._async.sockets import open_socket
from corral._async.transport import AsyncTransport
from corral._async.users import AsyncUsers
from corral._async.vms import AsyncVms
from corral._async.webhooks import AsyncWebhooks
from corral._http import Json
from corral.access import Access
from corral.errors import NotFound
from corral.models import Event, ExecResult, Operation, Vm


class AsyncClient:
    """Speaks to one fleet as one caller.

    Without arguments: `CORRAL_URL` and `CORRAL_TOKEN`, else the context that `corral login` made. `token` is an API key
    or a token; with `username` and `password` tokens are fetched, and fetched anew when they expire.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        username: str = "",
        password: str = "",
        context: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        named = Access(url.rstrip("/"), "", username, password) if url and password else None
        self.transport = AsyncTransport(named or access.find(url, token, context), timeout)
        self.vms = AsyncVms(self.transport)
        self.snapshots = AsyncSnapshots(self.transport)
        self.devices = AsyncDevices(self.transport)
        self.commands = AsyncCommands(self.transport)
        self.files = AsyncFiles(self.transport)
        self.operations = AsyncOperations(self.transport)
        self.hosts = AsyncHosts(self.transport)
        self.join_tokens = AsyncJoinTokens(self.transport)
        self.images = AsyncImages(self.transport)
        self.media = AsyncMedia(self.transport)
        self.keys = AsyncKeys(self.transport)
        self.users = AsyncUsers(self.transport)
        self.audit = AsyncAudit(self.transport)
        self.scans = AsyncScans(self.transport)
        self.webhooks = AsyncWebhooks(self.transport)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close its connections."""
        await self.transport.aclose()

    async def request(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Any request to the API, by its path below `/api/v1`; the decoded answer."""
        return await self.transport.json(method, path, body, **query)

    def events(self, vm: str | None = None, after: int | None = None) -> AsyncIterator[Event]:
        """What happens, to one VM or to all, as it happens; `after` goes on behind an event's `seq`."""
        return listen(self.transport, vm, after)

    @asynccontextmanager
    async def console(
        self, vm: str, *, read_only: bool = False, replay: bool = True
    ) -> AsyncIterator[ClientConnection]:
        """A VM's serial line: binary messages, both ways."""
        query = f"read_only={str(read_only).lower()}&replay={str(replay).lower()}"
        async with open_socket(self.transport, f"/vms/{_http.segment(vm)}/console?{query}") as connection:
            yield connection

    async def health(self) -> Json:
        """Each part of the control plane in a word."""
        return _http.value(dict[str, Any], await self.request("GET", "/health"))

    async def status(self) -> Json:
        """Versions and counts."""
        return _http.value(dict[str, Any], await self.request("GET", "/status"))

    @asynccontextmanager
    async def sandbox(
        self,
        image: str | None = None,
        *,
        name: str | None = None,
        ttl_seconds: int | None = 3600,
        timeout: float | None = None,
        **options: Any,
    ) -> AsyncIterator[AsyncSandbox]:
        """A VM of one's own that runs, and is gone afterwards: at the end of the block, and after `ttl_seconds` even if
        this program is killed. `options` as for `vms.create`."""
        chosen = name or f"sandbox-{uuid.uuid4().hex[:12]}"
        try:
            await self.vms.create(chosen, image=image, ttl_seconds=ttl_seconds, timeout=timeout, **options)
            await self.vms.start(chosen, timeout=timeout)
            yield AsyncSandbox(self, chosen)
        finally:
            try:
                await self.vms.delete(chosen)
            except NotFound:
                pass


class AsyncSandbox:
    """One VM, and the verbs that a program in need of a machine has."""

    def __init__(self, client: AsyncClient, name: str) -> None:
        self.client, self.name = client, name

    async def run(self, command: str, **options: Any) -> ExecResult:
        """Run a command; `options` as for `commands.run`."""
        return await self.client.commands.run(self.name, command, **options)

    async def read(self, path: str) -> bytes:
        """All of a file."""
        return await self.client.files.read(self.name, path)

    async def write(self, path: str, content: bytes | IO[bytes], *, permissions: str = "644") -> int:
        """Put a file there."""
        return await self.client.files.write(self.name, path, content, permissions=permissions)

    async def list(self, path: str = "/") -> Entries:
        """What is in a folder."""
        return await self.client.files.list(self.name, path)

    async def snapshot(self, name: str, *, include_memory: bool = True) -> Operation:
        """Take a snapshot."""
        return await self.client.snapshots.create(self.name, name, include_memory=include_memory)

    async def restore(self, name: str) -> Operation:
        """Go back to a snapshot."""
        return await self.client.snapshots.restore(self.name, name)

    async def expose(self, guest_port: int) -> tuple[str, int]:
        """Let a port of the host lead into it; the address and port to connect to."""
        operation = await self.client.devices.forward(self.name, guest_port)
        async for forward in self.client.devices.forwards(self.name):
            if forward.guest_port == guest_port:
                return forward.host_address, forward.host_port
        raise NotFound(f"the port forward of operation {operation.id} no longer exists", 404)

    async def info(self) -> Vm:
        """All that is known of it."""
        return await self.client.vms.get(self.name)

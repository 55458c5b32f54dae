# Made from corral/_async/client.py by scripts/unasync.py; change that file instead.
"""The client: one fleet, one caller."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any

from websockets.sync.client import ClientConnection

from corral import _http, access
from corral._http import Json
from corral._sync.devices import Devices, Snapshots
from corral._sync.events import listen
from corral._sync.guests import Commands, Entries, Files
from corral._sync.images import Images, Media
from corral._sync.joining import JoinTokens
from corral._sync.resources import (
    Audit,
    Hosts,
    Keys,
    Operations,
    Scans,
)
from corral._sync.sockets import open_socket
from corral._sync.transport import Transport
from corral._sync.users import Users
from corral._sync.vms import Vms
from corral._sync.webhooks import Webhooks
from corral.access import Access
from corral.errors import NotFound
from corral.models import Event, ExecResult, Operation, Vm


class Client:
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
        self.transport = Transport(named or access.find(url, token, context), timeout)
        self.vms = Vms(self.transport)
        self.snapshots = Snapshots(self.transport)
        self.devices = Devices(self.transport)
        self.commands = Commands(self.transport)
        self.files = Files(self.transport)
        self.operations = Operations(self.transport)
        self.hosts = Hosts(self.transport)
        self.join_tokens = JoinTokens(self.transport)
        self.images = Images(self.transport)
        self.media = Media(self.transport)
        self.keys = Keys(self.transport)
        self.users = Users(self.transport)
        self.audit = Audit(self.transport)
        self.scans = Scans(self.transport)
        self.webhooks = Webhooks(self.transport)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self.transport.close()

    def request(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Any request to the API, by its path below `/api/v1`; the decoded answer."""
        return self.transport.json(method, path, body, **query)

    def events(self, vm: str | None = None, after: int | None = None) -> Iterator[Event]:
        """What happens, to one VM or to all, as it happens; `after` goes on behind an event's `seq`."""
        return listen(self.transport, vm, after)

    @contextmanager
    def console(self, vm: str, *, read_only: bool = False, replay: bool = True) -> Iterator[ClientConnection]:
        """A VM's serial line: binary messages, both ways."""
        query = f"read_only={str(read_only).lower()}&replay={str(replay).lower()}"
        with open_socket(self.transport, f"/vms/{_http.segment(vm)}/console?{query}") as connection:
            yield connection

    def health(self) -> Json:
        """Each part of the control plane in a word."""
        return _http.value(dict[str, Any], self.request("GET", "/health"))

    def status(self) -> Json:
        """Versions and counts."""
        return _http.value(dict[str, Any], self.request("GET", "/status"))

    @contextmanager
    def sandbox(
        self,
        image: str | None = None,
        *,
        name: str | None = None,
        ttl_seconds: int | None = 3600,
        timeout: float | None = None,
        **options: Any,
    ) -> Iterator[Sandbox]:
        """A VM of one's own that runs, and is gone afterwards: at the end of the block, and after `ttl_seconds` even if
        this program is killed. `options` as for `vms.create`."""
        chosen = name or f"sandbox-{uuid.uuid4().hex[:12]}"
        try:
            self.vms.create(chosen, image=image, ttl_seconds=ttl_seconds, timeout=timeout, **options)
            self.vms.start(chosen, timeout=timeout)
            yield Sandbox(self, chosen)
        finally:
            try:
                self.vms.delete(chosen)
            except NotFound:
                pass


class Sandbox:
    """One VM, and the verbs that a program in need of a machine has."""

    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name = client, name

    def run(self, command: str, **options: Any) -> ExecResult:
        """Run a command; `options` as for `commands.run`."""
        return self.client.commands.run(self.name, command, **options)

    def read(self, path: str) -> bytes:
        """All of a file."""
        return self.client.files.read(self.name, path)

    def write(self, path: str, content: bytes | IO[bytes], *, permissions: str = "644") -> int:
        """Put a file there."""
        return self.client.files.write(self.name, path, content, permissions=permissions)

    def list(self, path: str = "/") -> Entries:
        """What is in a folder."""
        return self.client.files.list(self.name, path)

    def snapshot(self, name: str, *, include_memory: bool = True) -> Operation:
        """Take a snapshot."""
        return self.client.snapshots.create(self.name, name, include_memory=include_memory)

    def restore(self, name: str) -> Operation:
        """Go back to a snapshot."""
        return self.client.snapshots.restore(self.name, name)

    def expose(self, guest_port: int) -> tuple[str, int]:
        """Let a port of the host lead into it; the address and port to connect to."""
        operation = self.client.devices.forward(self.name, guest_port)
        for forward in self.client.devices.forwards(self.name):
            if forward.guest_port == guest_port:
                return forward.host_address, forward.host_port
        raise NotFound(f"the port forward of operation {operation.id} no longer exists", 404)

    def info(self) -> Vm:
        """All that is known of it."""
        return self.client.vms.get(self.name)

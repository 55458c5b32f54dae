"""Fourteen tools for an AI agent: a VM of its own, and the work in it.

Every answer is bounded, says what to do next where there is more, and names what went wrong. Whatever a tool makes has
a time to live, so that an agent that is gone leaves nothing behind.
"""

from __future__ import annotations

import base64
import functools
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, ParamSpec

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from cli.mcp import shown
from corral import AsyncClient, CorralError, NotFound, WaitTimeout
from corral.models import Vm

P = ParamSpec("P")
Tool = Callable[P, Awaitable[str]]

_INSTRUCTIONS = (
    "Private virtual machines. vm_create creates and starts one; use run, file_write and file_read in it, and "
    "vm_delete when you are done (a VM is deleted automatically after its time to live). Take a snapshot before a "
    "risky step; restore goes back to it."
)

_READS = ToolAnnotations(read_only_hint=True)
_ADDS = ToolAnnotations(destructive_hint=False)
_DESTROYS = ToolAnnotations(destructive_hint=True)
_READING = [(name, _READS) for name in ("vm_list", "vm_info", "logs", "file_list", "file_read", "run_output")]
_CHANGING = [
    *((name, _ADDS) for name in ("vm_create", "run", "file_write", "snapshot", "expose_port")),
    *((name, _DESTROYS) for name in ("vm_power", "vm_delete", "restore")),
]

Name = Annotated[str, Field(description="the VM's name")]
_RUN_SECONDS = 55  # clients give up on a tool after a minute


def make(client: Callable[[], AsyncClient], *, read_only: bool = False, longest_ttl: int = 3600) -> MCPServer:
    """The server with its tools, each of which asks for the client of its caller.

    `longest_ttl`: seconds that a VM made here may live at most.
    """
    server = MCPServer("corral", instructions=_INSTRUCTIONS)
    tools = Tools(client, longest_ttl)
    offered = [*_READING] if read_only else [*_READING, *_CHANGING]
    for name, hints in offered:
        server.tool(annotations=hints)(_told(getattr(tools, name)))
    return server


def _told(tool: Tool[P]) -> Tool[P]:
    """What the library raises, as an error that the agent reads."""

    @functools.wraps(tool)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return await tool(*args, **kwargs)
        except CorralError as error:
            raise ToolError(error.message) from None

    return wrapper


class Tools:
    """The tools. Their docstrings are what an agent reads."""

    def __init__(self, client: Callable[[], AsyncClient], longest_ttl: int) -> None:
        self._client_of_caller, self._longest_ttl = client, longest_ttl

    @property
    def _client(self) -> AsyncClient:
        return self._client_of_caller()

    async def vm_list(self, status: str | None = None) -> str:
        """List VMs (the newest 50), or those with a status such as running."""
        found = [vm async for vm in self._client.vms.list(status=status, sort="created_at", order="desc", limit=50)]
        return "\n".join(map(_line, found)) or "no VMs; vm_create creates one"

    async def vm_create(
        self,
        name: Annotated[str | None, Field(description="letters, digits, . _ -; chosen if left out")] = None,
        image: Annotated[str | None, Field(description="an image of the fleet; linux-default if left out")] = None,
        vcpus: int = 1,
        memory_mb: int = 512,
        disk_gb: int | None = None,
        ttl_minutes: Annotated[int | None, Field(description="the VM is deleted automatically after this time")] = None,
    ) -> str:
        """Create a VM, start it and wait until it is usable. If you already have a VM of that name: start that VM."""
        chosen = name or f"agent-{uuid.uuid4().hex[:8]}"
        ttl = min(self._longest_ttl, ttl_minutes * 60) if ttl_minutes else self._longest_ttl
        if name is None or not await self._exists(chosen):
            await self._client.vms.create(
                chosen, image=image, vcpus=vcpus, memory_mb=memory_mb, disk_gb=disk_gb, ttl_seconds=ttl
            )
        if (await self._client.vms.get(chosen)).status != "running":
            await self._client.vms.start(chosen)
        return _line(await self._client.vms.get(chosen))

    async def vm_info(self, name: Name) -> str:
        """Show a VM: status and reason, size, address, resource use, snapshots and exposed ports."""
        vm = await self._client.vms.get(name)
        snapshots = [each.name async for each in self._client.snapshots.list(name)]
        ports = [
            f"{each.guest_port} at {each.host_address}:{each.host_port}"
            async for each in self._client.devices.forwards(name)
        ]
        return shown.fields(vm, snapshots=", ".join(snapshots), exposed_ports=", ".join(ports))

    async def vm_power(
        self, name: Name, action: Literal["start", "stop", "restart", "pause", "resume"], force: bool = False
    ) -> str:
        """Start, stop, restart, pause or resume a VM. With force, its power is cut without asking the guest."""
        options: dict[str, Any] = {"force": True} if force and action in ("stop", "restart") else {}
        await getattr(self._client.vms, action)(name, **options)
        return _line(await self._client.vms.get(name))

    async def vm_delete(self, name: Name) -> str:
        """Delete a VM for good, with its disk and snapshots."""
        await self._client.vms.delete(name)
        return f"VM '{name}' is deleted"

    async def run(
        self,
        name: Name,
        command: Annotated[str, Field(description="a line for the guest's shell")],
        working_directory: str | None = None,
        stdin: str | None = None,
        timeout_seconds: Annotated[
            int, Field(ge=1, le=86400, description="the command is killed after this time")
        ] = 600,
    ) -> str:
        """Run a command in a VM; returns its output and exit code. After 55 s it keeps running: see run_output."""
        begun = await self._client.commands.begin(
            name, command, working_directory=working_directory, stdin=stdin, timeout=timeout_seconds
        )
        try:
            await self._client.commands.wait(name, begun.id, timeout=_RUN_SECONDS)
        except WaitTimeout:
            return f"still running as {begun.id}; run_output returns its output so far and waits for its end"
        return await self.run_output(name, begun.id)

    async def run_output(
        self,
        name: Name,
        run_id: str,
        stdout_after: Annotated[int, Field(ge=0, description="begin after this byte")] = 0,
        stderr_after: Annotated[int, Field(ge=0, description="begin after this byte")] = 0,
    ) -> str:
        """Return the output of a run and how it ended; waits up to 55 s for its end."""
        try:
            ended = await self._client.commands.wait(name, run_id, timeout=_RUN_SECONDS)
            how = f"{ended.state}, exit code {ended.exit_code}"
        except WaitTimeout:
            how = f"still running as {run_id}"
        parts = [how]
        for stream, after in (("stdout", stdout_after), ("stderr", stderr_after)):
            found = await self._client.commands.part(name, run_id, stream, offset=after, limit=shown.MOST_BYTES)
            if found.data:
                parts.append(f"{stream}:\n{found.data}")
            if not found.ended:
                parts.append(f"({stream} continues after byte {found.next_offset})")
        return "\n".join(parts)

    async def file_read(
        self, name: Name, path: str, first_byte: Annotated[int, Field(ge=0)] = 0, as_base64: bool = False
    ) -> str:
        """Read up to 32 KiB of a file in a VM."""
        content = bytearray()
        async for piece in self._client.files.pieces(name, path, first_byte):
            content += piece
            if len(content) > shown.MOST_BYTES:
                break
        part = bytes(content[: shown.MOST_BYTES])
        text = base64.b64encode(part).decode() if as_base64 else part.decode(errors="replace")
        more = f"\n(more from byte {first_byte + len(part)} on)" if len(content) > len(part) else ""
        return text + more

    async def file_write(
        self, name: Name, path: str, content: str, permissions: str = "644", from_base64: bool = False
    ) -> str:
        """Write a whole file in a VM; missing folders are created."""
        try:
            data = base64.b64decode(content, validate=True) if from_base64 else content.encode()
        except ValueError:
            raise ToolError("content is not base64") from None
        size = await self._client.files.write(name, path, data, permissions=permissions)
        return f"{path} has {size} bytes"

    async def file_list(self, name: Name, path: str = "/") -> str:
        """List a folder in a VM (the first 200 entries)."""
        found = await self._client.files.list(name, path)
        lines = [
            f"{each.permissions} {each.size_bytes:>10} {each.path}{'/' * each.is_directory}" for each in found[:200]
        ]
        return "\n".join(lines + [f"({len(found) - 200} more)"] * (len(found) > 200)) or "empty"

    async def snapshot(self, name: Name, snapshot: Annotated[str, Field(description="the snapshot's name")]) -> str:
        """Take a snapshot of a VM, with its memory if it runs."""
        running = (await self._client.vms.get(name)).status == "running"
        await self._client.snapshots.create(name, snapshot, include_memory=running)
        return f"snapshot '{snapshot}' of VM '{name}' is taken{', with its memory' * running}"

    async def restore(self, name: Name, snapshot: str) -> str:
        """Restore a VM to a snapshot; all later changes are lost."""
        await self._client.snapshots.restore(name, snapshot)
        return _line(await self._client.vms.get(name))

    async def logs(self, name: Name) -> str:
        """Return the end of a VM's serial console output, such as its boot messages."""
        text = bytearray()
        async with self._client.console(name, read_only=True) as line:
            await shown.until_quiet(line, text)
        return shown.tail(text.decode(errors="replace")) or "nothing yet"

    async def expose_port(self, name: Name, guest_port: Annotated[int, Field(ge=1, le=65535)]) -> str:
        """Make a TCP port of a VM reachable from outside; returns the address."""
        async for each in self._client.devices.forwards(name):
            if (each.guest_port, each.protocol) == (guest_port, "tcp"):
                return f"{each.host_address}:{each.host_port}"
        await self._client.devices.forward(name, guest_port)
        return await self.expose_port(name, guest_port)

    async def _exists(self, name: str) -> bool:
        try:
            await self._client.vms.get(name)
        except NotFound:
            return False
        return True


def _line(vm: Vm) -> str:
    why = f" ({vm.reason})" if vm.reason else ""
    until = f", deleted automatically at {vm.expires_at:%F %T} UTC" if vm.expires_at else ""
    return f"{vm.name}: {vm.status}{why}, {vm.vcpus} vCPU, {vm.memory_mb} MB, {vm.hypervisor} on {vm.host}{until}"

"""Images, and disks beside VMs' own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from corral._async.resources import _Resource
from corral._async.transport import Tell
from corral._http import given, segment, value
from corral.models import Image, Medium
from corral.prefetches import Prefetch


class AsyncImages(_Resource):
    """The images of the fleet."""

    def list(self, *, os_type: str | None = None, limit: int | None = None) -> AsyncIterator[Image]:
        """By name."""
        return self._transport.pages("/images", "images", Image, limit, os_type=os_type)

    async def get(self, name: str) -> Image:
        """One of them."""
        return value(Image, await self._transport.json("GET", f"/images/{segment(name)}"))

    async def upload(
        self,
        name: str,
        disk: Path,
        *,
        kernel: Path | None = None,
        initrd: Path | None = None,
        cmdline: str = "",
        os_type: str = "linux",
        guest_agent: bool = False,
        description: str = "",
    ) -> Image:
        """Add one, as an administrator, from files of this machine; they may be of any size."""
        paths = given(disk=disk, kernel=kernel, initrd=initrd)
        files = {field: path.open("rb") for field, path in paths.items()}
        fields = {
            "name": name,
            "cmdline": cmdline,
            "os_type": os_type,
            "guest_agent": str(guest_agent).lower(),
            "description": description,
        }
        try:
            response = await self._transport.send(
                "POST", "/images", data=fields, files=files, timeout=None, repeat=False
            )
        finally:
            for file in files.values():
                file.close()
        return value(Image, response.json())

    async def prefetch(
        self,
        name: str,
        *,
        hosts: Sequence[str] = (),
        label: str | None = None,
        deadline_seconds: int | None = None,
        wait: bool = True,
        timeout: float | None = None,
        tell: Tell | None = None,
    ) -> Prefetch:
        """Have hosts pull one before a VM needs it there, as an administrator: those given, or all.

        `wait` returns once all operations have ended, successful or not; `timeout` is for each.
        """
        body = given(hosts=[*hosts] or None, label=label, deadline_seconds=deadline_seconds)
        begun = value(Prefetch, await self._transport.json("POST", f"/images/{segment(name)}/prefetch", body))
        if not wait:
            return begun
        ended = [await self._transport.wait(operation, timeout, tell) for operation in begun.operations]
        return Prefetch(operations=ended, skipped=begun.skipped)

    async def delete(self, name: str) -> None:
        """Remove one, as an administrator; VMs that were made from it keep what they have."""
        await self._transport.json("DELETE", f"/images/{segment(name)}")


class AsyncMedia(_Resource):
    """Disks beside VMs' own: attached to one, or kept for the next."""

    def list(
        self, *, host: str | None = None, attached: bool | None = None, limit: int | None = None
    ) -> AsyncIterator[Medium]:
        """The caller's own; all of them for administrators."""
        wanted = None if attached is None else str(attached).lower()
        return self._transport.pages("/media", "media", Medium, limit, host=host, attached=wanted)

    async def get(self, medium_id: str) -> Medium:
        """One of them."""
        return value(Medium, await self._transport.json("GET", f"/media/{segment(medium_id)}"))

    async def delete(self, medium_id: str) -> None:
        """Delete one that no VM has, with all that is on it."""
        await self._transport.json("DELETE", f"/media/{segment(medium_id)}")

"""Consoles over the vboxmcp dialect's WebSocket: their output, and the user's input.

In: `{"type": "console_connect", "vm_id", "encoding"?, "read_only"?}`, `{"type": "console_input", "vm_id", "data"}`,
`{"type": "console_disconnect", "vm_id"}`.
Out: `{"type": "console_connected", "vm_id", "name", "writable", "encoding"}`, then events `vm.console_output` with
`{"vm_id", "name", "output", "encoding"}` from the last 64 KiB on, and at the end
`{"type": "console_disconnected", "vm_id", "name", "error"}`.
`encoding` is `base64`, which loses nothing, or `utf-8`; it is that of what is typed, too.
"""

from __future__ import annotations

import base64
import binascii
import codecs
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from api.realtime.console import ConsoleSession, Streaming, Which
from core.contract.errors import CorralError, Invalid
from core.contract.messages import JSON, VmSpec
from core.services import events

AT_ONCE = 16
BASE64, TEXT = "base64", "utf-8"
_PIECE = 16 * 1024


class SocketConsoles:
    """Those of one socket, whose `send` may be called by several threads."""

    def __init__(self, hub: Streaming, send: Callable[[JSON], None]) -> None:
        self._hub, self._send = hub, send
        self._open: dict[str, tuple[ConsoleSession, str]] = {}

    def connect(self, which: Which, encoding: str) -> None:
        """Show that console; anew, if it is shown already."""
        self.disconnect(which.vm.id)
        if len(self._open) >= AT_ONCE:
            raise Invalid(f"a socket shows at most {AT_ONCE} consoles; open another socket")
        self._show(which, encoding, _VboxmcpViewer(which.vm, encoding, self._send))

    def follow(self, found: list[Which], encoding: str) -> None:
        """Tell what those put out from now on, as far as there is room, and unless they are shown already."""
        for which in found:
            if which.vm.id not in self._open and len(self._open) < AT_ONCE:
                self._show(which, encoding, _ConsoleFollower(which.vm, encoding, self._send, self._open))

    def unfollow(self, vm_id: str | None) -> None:
        """Tell no more of what was only followed: of that VM, or of all."""
        for each, (console, _) in list(self._open.items()):
            if not console.which.replay and vm_id in (None, each):
                self.disconnect(each)

    def _show(self, which: Which, encoding: str, viewer: _VboxmcpViewer) -> None:
        console = ConsoleSession(self._hub, which, viewer)
        self._open[which.vm.id] = console, encoding
        console.start()

    def type(self, vm_id: str, text: str) -> None:
        """Type on a console that is shown; `Invalid`, `Conflict`, `Unavailable`."""
        if vm_id not in self._open:
            raise Invalid("that console is not connected; send console_connect first", field="vm_id")
        console, encoding = self._open[vm_id]
        console.type(_typed(text, encoding))

    def disconnect(self, vm_id: str) -> None:
        """Show that console no more."""
        console, _ = self._open.pop(vm_id, (None, ""))
        if console is not None:
            console.close()

    def close(self) -> None:
        """Show none."""
        for vm_id in list(self._open):
            self.disconnect(vm_id)


class _VboxmcpViewer:
    """Writes what a console puts out in this dialect's words."""

    def __init__(self, vm: VmSpec, encoding: str, send: Callable[[JSON], None]) -> None:
        self._of: JSON = {"vm_id": vm.id, "name": vm.name}
        self._encoding, self._send = encoding, send
        # A letter may be cut in two by the end of a piece.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def connected(self, *, writable: bool) -> None:
        self._send({"type": "console_connected", **self._of, "writable": writable, "encoding": self._encoding})

    def output(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            said = {"output": self._encoded(data[start : start + _PIECE]), "encoding": self._encoding}
            at = events.iso(datetime.now(UTC))
            self._send({"type": "event", "event": "vm.console_output", "timestamp": at, "data": self._of | said})

    def disconnected(self, error: CorralError) -> None:
        why = {"code": error.code, "message": error.message, "details": error.details}
        self._send({"type": "console_disconnected", **self._of, "error": why})

    def _encoded(self, data: bytes) -> str:
        return self._decoder.decode(data) if self._encoding == TEXT else base64.b64encode(data).decode()


class _ConsoleFollower(_VboxmcpViewer):
    """Tells output alone. A console that ends may be found again later."""

    def __init__(self, vm: VmSpec, encoding: str, send: Callable[[JSON], None], shown: dict[str, Any]) -> None:
        super().__init__(vm, encoding, send)
        self._vm_id, self._shown = vm.id, shown

    def connected(self, *, writable: bool) -> None:
        """Nobody asked."""

    def disconnected(self, error: CorralError) -> None:
        self._shown.pop(self._vm_id, None)


def encoding_of(body: JSON) -> str:
    """The encoding asked for; `Invalid`."""
    encoding = body.get("encoding", BASE64)
    if encoding not in (BASE64, TEXT):
        raise Invalid(f"encoding must be '{BASE64}' or '{TEXT}'", field="encoding")
    return str(encoding)


def _typed(text: str, encoding: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if encoding == BASE64 else text.encode()
    except (binascii.Error, ValueError):
        raise Invalid(f"data is not {encoding}", field="data") from None

# Made from corral/_async/events.py by scripts/unasync.py; change that file instead.
"""Events as they happen: through restarts of the server and broken connections."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import websockets

from corral import _http
from corral._http import segment, value
from corral._sync.sockets import open_socket
from corral._sync.transport import Transport
from corral.errors import CorralError, Unavailable, Unreachable
from corral.models import Event

_PASSING = (1001, 1006, 1011, 1012, 1013, 4008)  # the server restarts, or cut a slow reader: `after` misses nothing


def listen(transport: Transport, vm: str | None = None, after: int | None = None) -> Iterator[Event]:
    """Events of one VM, or all that the caller may hear of, without an end but that of the VM.

    `after`: begin with those that were recorded behind that number. A connection that breaks is made anew and goes on
    behind the last event; after some tries in vain: `Unreachable`.
    """
    path = f"/vms/{segment(vm)}/events" if vm else "/system/events"
    attempt = 0
    while True:
        try:
            where = path if after is None else f"{path}?after={after}"
            with open_socket(transport, where) as socket:
                attempt = 0
                for text in socket:
                    event = value(Event, msgspec.json.decode(text))
                    after = event.seq
                    yield event
            return
        except websockets.ConnectionClosedError as error:
            code = error.rcvd.code if error.rcvd else 1006
            if code not in _PASSING:
                raise CorralError(f"events were cut off: {error.rcvd.reason if error.rcvd else code}") from None
        except (Unreachable, Unavailable):
            attempt += 1
            if attempt >= _http.ATTEMPTS * 2:
                raise
            time.sleep(_http.pause(attempt))

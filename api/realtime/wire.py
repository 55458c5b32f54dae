"""The TCP socket under a WebSocket, made whole.

simple-websocket calls `send` and trusts it to send all, from two threads: a gevent socket sends what fits, which would
tear a frame apart. It also keeps every message it receives until somebody asks for it. Here a frame goes out whole or
the connection ends, and so it does when more arrives than is asked for.
"""

from __future__ import annotations

import socket
import threading

SEND_SECONDS = 10.0
_SEND_BUFFER_BYTES = 64 * 1024  # the kernel's default lets a reader be megabytes behind before anyone notices
_UNREAD_BYTES = 64 * 1024


class Wire:
    """What simple-websocket needs of a socket. All errors are OSError, which it takes as the end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(SEND_SECONDS)  # for the sends: it receives only what is there
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._socket = sock
        self._lock = threading.Lock()
        self._is_torn = False
        self.unread_bytes = 0  # set to 0 by whoever has taken all messages

    def send(self, data: bytes) -> None:
        """All of it, after whatever is being sent."""
        with self._lock:
            if self._is_torn:
                raise ConnectionAbortedError("a frame was cut off before")
            self._is_torn = True
            self._socket.sendall(data)
            self._is_torn = False

    def recv(self, size: int) -> bytes:
        """What has arrived."""
        data = self._socket.recv(size)
        self.unread_bytes += len(data)
        if self.unread_bytes > _UNREAD_BYTES:
            raise ConnectionAbortedError("the client sends more than is read")
        return data

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def close(self) -> None:
        """Called by simple-websocket's thread at its end."""
        self._socket.close()

    def shut(self, how: int) -> None:
        """End one direction or both, whatever state it is in."""
        try:
            self._socket.shutdown(how)
        except OSError:  # it is closed already
            pass

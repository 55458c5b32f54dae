"""The TCP socket under a WebSocket, made whole.

simple-websocket calls `send` and trusts it to send all, from two threads: a gevent socket sends what fits, which would
tear a frame apart. It also keeps every message it receives until somebody asks for it. Here a frame goes out whole or
the connection ends. A frame is begun only while there is room for it and for a close frame, so that a reader that has
not read for long can still be told why it is cut. Who sends more than is taken is read no further for a while, and so
waits.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
import threading
import time

SEND_SECONDS = 10.0
TAKE_SECONDS = 20.0
_SEND_BUFFER_BYTES = 64 * 1024  # the kernel's default lets a reader be megabytes behind before anyone notices
_UNSENT_BYTES = 48 * 1024  # the kernel counts its own books in its buffer, too
_UNREAD_BYTES = 64 * 1024
_LOOK_SECONDS = 0.05


class SlowReader(OSError):
    """The other end has not read for too long; nothing of the frame is sent."""


class WsTransport:
    """What simple-websocket needs of a socket. All errors are OSError, which it takes as the end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(SEND_SECONDS)  # for the sends: it receives only what is there
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._socket = sock
        self._lock = threading.Lock()
        self._is_torn = False
        self._unread_bytes = 0
        self._taken = threading.Event()
        self.is_last = False  # set before the close frame, for which there is always room

    def send(self, data: bytes) -> None:
        """All of it, after whatever is being sent."""
        with self._lock:
            if self._is_torn:
                raise ConnectionAbortedError("a frame was cut off before")
            if not self.is_last:
                self._wait_for_room(len(data))
            self._is_torn = True
            self._socket.sendall(data)
            self._is_torn = False

    def recv(self, size: int) -> bytes:
        """What has arrived, once what came before has been taken."""
        if self._unread_bytes > _UNREAD_BYTES:
            self._taken.clear()
            if self._unread_bytes > _UNREAD_BYTES and not self._taken.wait(TAKE_SECONDS):
                raise ConnectionAbortedError("the client sends more than is read")
        data = self._socket.recv(size)
        self._unread_bytes += len(data)
        return data

    def taken(self) -> None:
        """All messages have been taken."""
        self._unread_bytes = 0
        self._taken.set()

    def _wait_for_room(self, count: int) -> None:
        """A frame that no buffer holds goes once the buffer is empty."""
        deadline = time.monotonic() + SEND_SECONDS
        while (unsent := self._unsent_bytes()) and unsent + count > _UNSENT_BYTES:
            if time.monotonic() >= deadline:
                raise SlowReader("the other end does not read")
            time.sleep(_LOOK_SECONDS)

    def _unsent_bytes(self) -> int:
        """https://man7.org/linux/man-pages/man7/tcp.7.html, SIOCOUTQ; a pair of unix sockets in tests says it, too."""
        return int(struct.unpack("i", fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])

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

"""gunicorn's gevent worker, and what it lacks: at SIGTERM it lets all who wait go at once."""

from __future__ import annotations

from functools import partial
from typing import Any

import gevent
from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves a WSGI callable with an attribute `realtime`, the process's Hub.

    gunicorn's own goes on accepting for up to a second, so that clients just sent away would come back to it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._servers: list[StreamServer] = []

    def server_class(self, listener: Any, *, spawn: Any, ssl_context: Any = None, **_: Any) -> StreamServer:
        """The server that gunicorn would make without a class for it, but known to us."""
        tls = {} if ssl_context is None else {"ssl_context": ssl_context}
        server = StreamServer(listener, handle=partial(self.handle, listener), spawn=spawn, **tls)
        if self.cfg.workers > 1:
            server.max_accept = 1
        self._servers.append(server)
        return server

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM. A signal handler may not wait, so a greenlet does it."""
        super().handle_exit(sig, frame)
        gevent.spawn(self._let_go)

    def _let_go(self) -> None:
        for server in self._servers:
            server.stop_accepting()
        self.wsgi.realtime.drain()

"""gunicorn's gevent worker, which at SIGTERM ends all held requests at once."""

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
        self.wsgi: Any = None  # until it is loaded: SIGTERM may come before

    def server_class(self, listener: Any, *, spawn: Any, ssl_context: Any = None, **_: Any) -> StreamServer:
        """The server that gunicorn would make without a class for it, but known to us."""
        tls = {} if ssl_context is None else {"ssl_context": ssl_context}
        server = StreamServer(listener, handle=partial(self.handle, listener), spawn=spawn, **tls)
        if self.cfg.workers > 1:
            server.max_accept = 1
        self._servers.append(server)
        return server

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """As gunicorn's, with a body that is asked for only when it is read (api/realtime/bodies.py)."""
        from api.realtime.bodies import Body  # now, when gevent has patched what it imports

        body = Body(req, sock)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except StopIteration:
            body.linger()
            raise

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """gunicorn's own answers are HTML. What it refuses, or what broke outside the application, is told as ours."""
        from api.realtime.bodies import linger
        from api.web.failures import error_of, is_ours

        error = error_of(exc)
        if is_ours(error):
            self.log.error("a request failed unexpectedly in the server", exc_info=exc)
        else:
            self.log.info("a request was refused: %s", error.message)
        read = getattr(req or getattr(exc, "req", None), "headers", ())
        api_key = any(name == "X-API-KEY" for name, _ in read)
        status, headers, body = self.wsgi.refusal(error, api_key=api_key)
        lines = [f"HTTP/1.1 {status}", "Connection: close", *(f"{name}: {value}" for name, value in headers), "", ""]
        try:
            client.sendall("\r\n".join(lines).encode("latin-1") + body)
            linger(client)
        except OSError:  # it is gone
            pass

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM. A signal handler may not wait, so a greenlet does it."""
        super().handle_exit(sig, frame)
        gevent.spawn(self._let_go)

    def _let_go(self) -> None:
        for server in self._servers:
            server.stop_accepting()
        if self.wsgi is not None:
            self.wsgi.realtime.drain()

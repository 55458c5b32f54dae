"""Metrics for Prometheus, for callers with the metrics token, on a port of the process and elsewhere.

Without a token nobody may read them. An address is no identity: whatever runs on a machine comes from its loopback.
"""

from __future__ import annotations

import hmac
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

log = logging.getLogger(__name__)
SECONDS = 10
HOW = "send the token of CORRAL_METRICS_TOKEN: Authorization: Bearer <token>"


def may_read(authorization: str | None, token: str) -> bool:
    """Whether that header shows the token; never where there is none."""
    shown = (authorization or "").encode("utf-8", "replace")
    return bool(token) and hmac.compare_digest(shown, f"Bearer {token}".encode())


def serve(address: str, port: int, token: str) -> None:
    """Answer at that port from now on, in a thread; 0: not at all. A port that is taken is no reason to stop."""
    if not port:
        return
    if not token:
        log.error("no metrics at port %d: set CORRAL_METRICS_TOKEN, the bearer token that readers send", port)
        return
    try:
        server = ThreadingHTTPServer((address, port), _answering(token))
    except OSError as error:
        log.error("no metrics: %s:%d can't be listened on: %s", address, port, error)  # noqa: TRY400  # no traceback
        return
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    log.info("metrics at http://%s:%d/metrics", address, port)


def _answering(token: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = SECONDS

        def do_GET(self) -> None:
            if not may_read(self.headers.get("Authorization"), token):
                self._answer(401, f"{HOW}\n".encode(), "text/plain; charset=utf-8")
            elif self.path.partition("?")[0] != "/metrics":
                self._answer(404, b"figures are at /metrics\n", "text/plain; charset=utf-8")
            else:
                self._answer(200, generate_latest(REGISTRY), CONTENT_TYPE_LATEST)

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 401:
                self.send_header("WWW-Authenticate", "Bearer")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing of each scrape."""

    return Handler

"""The request and its id."""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
import select
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, g, request
from gevent import monkey

from api.web.context import api_context
from core.contract.errors import NotFound

log = logging.getLogger("api.access")

PREFIX = "/api/v1"
_poll = monkey.get_original("select", "poll")  # gevent's own knows no POLLRDHUP; this one never waits here
_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")


def install(app: Flask) -> None:
    """Give every request an id, answer with it and log with it."""
    app.before_request(_begin)
    app.after_request(_end)


def request_id() -> str:
    """Our own id of the present request, which the audit log and operations keep: no caller can choose it."""
    if "request_id" not in g:
        g.request_id = new_id()
    return str(g.request_id)


def new_id() -> str:
    """An id for a request."""
    return f"req_{secrets.token_hex(8)}"


def client_request_id() -> str | None:
    """The id that the caller gave the present request, if it is sane."""
    given = request.headers.get("X-Request-ID", "")
    return given if _SANE.fullmatch(given) else None


def shown_id() -> str:
    """The id that answers tell: the caller's, else ours. The log has both."""
    return client_request_id() or request_id()


def source_ip() -> str:
    """Where the present request comes from: what `X-Forwarded-For` says as far back as our own proxies wrote it."""
    if "source_ip" not in g:
        told = [address.strip() for address in ",".join(request.headers.getlist("X-Forwarded-For")).split(",")]
        g.source_ip = _furthest(request.remote_addr or "", told)
    return str(g.source_ip)


def _furthest(address: str, told: list[str]) -> str:
    """Whom the last proxy that is ours was called by; what is no address ends the search."""
    try:
        while told and _is_ours(address):
            address = str(ipaddress.ip_address(told.pop()))
    except ValueError:
        pass
    return address


def _is_ours(address: str) -> bool:
    proxies = api_context().settings.trusted_proxies
    return bool(proxies) and any(ipaddress.ip_address(address) in proxy for proxy in proxies)


def check_path() -> None:
    """No name has a control character or half a character in it: `NotFound` before the database is asked."""
    values: dict[str, Any] = request.view_args or {}
    if not all(is_clean(str(value)) and str(value).isprintable() for value in values.values()):
        raise NotFound("there is no such path")


def is_clean(text: str) -> bool:
    """Whether PostgreSQL and JSON can hold that text: no NUL, no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def client_gone() -> Callable[[], bool]:
    """Says, whenever it is asked, whether the client of the present request has hung up.

    Of a server that does not show its sockets nothing is known, and so the client is there.
    """
    connection = request.environ.get("gunicorn.socket")
    if connection is None:
        return lambda: False
    poll = _poll()
    poll.register(connection.fileno(), select.POLLRDHUP)
    return lambda: bool(poll.poll(0))


def _begin() -> None:
    g.begun = time.perf_counter()


def _end(response: Response) -> Response:
    response.headers["X-Request-ID"] = shown_id()
    response.headers["X-Corral-Request-ID"] = request_id()
    milliseconds = (time.perf_counter() - g.get("begun", time.perf_counter())) * 1000
    ids = " ".join(dict.fromkeys((request_id(), shown_id())))
    log.info("%s %r %d %.1f ms %s", request.method, request.path, response.status_code, milliseconds, ids)
    return response

"""psycopg2's waits under gevent, each with a bound.

psycogreen's own has none, and under it libpq's connect_timeout does nothing: a server that takes the connection and
then is mute would hold a request for ever. A query has longer than the server's own statement_timeout.
"""

from __future__ import annotations

from typing import Any

import psycopg2
from psycogreen.gevent import gevent_wait_callback
from psycopg2 import extensions

CONNECT_SECONDS = 5.0
QUERY_SECONDS = 20.0


def install() -> None:
    """Let psycopg2 wait so in this process, which gevent has patched."""
    extensions.set_wait_callback(_wait)


def _wait(connection: Any) -> None:
    connecting = connection.status == extensions.STATUS_SETUP
    seconds = CONNECT_SECONDS if connecting else QUERY_SECONDS
    try:
        gevent_wait_callback(connection, timeout=seconds)
    except TimeoutError:
        what = "take the connection" if connecting else "answer"
        raise psycopg2.OperationalError(f"the database did not {what} within {seconds:g} s") from None

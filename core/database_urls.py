"""Addresses of PostgreSQL, in any form that libpq takes: also with several servers, of which one is the primary.

`postgresql://corral:secret@db-a:5432,db-b:5432/corral?target_session_attrs=read-write`
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

import psycopg2.extensions
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.engine import URL, make_url


def engine_url(url: str) -> URL:
    """As SQLAlchemy takes it, which has several servers in the query alone."""
    parts = urlsplit(url)
    who, at, servers = parts.netloc.rpartition("@")
    if "," in servers:
        query = urlencode([*parse_qsl(parts.query), *(("host", server) for server in servers.split(","))])
        url = f"{parts.scheme}://{who}{at}{parts.path}?{query}"
    return make_url(url).set(drivername="postgresql+psycopg2")


def for_programs(url: str) -> tuple[str, str]:
    """As PostgreSQL's own programs take it: what anybody may see on a command line, and the password."""
    _, parameters = PGDialect_psycopg2().create_connect_args(engine_url(url))  # type: ignore[no-untyped-call]
    password = str(parameters.pop("password", ""))
    return psycopg2.extensions.make_dsn(**parameters), password

"""The addresses of Redis in the answer to a join."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from core.contract import channels
from core.contract.joining import Joined
from core.settings import Settings

_OURS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path")  # files of this machine


def answer(settings: Settings, host: str) -> Joined:
    """All that a host needs beside the secret that it has made: nothing in it is secret."""
    parts = urlsplit(settings.agent_redis_url or settings.redis_url)
    query = dict(parse_qsl(parts.query))
    authority = query.get("ssl_ca_certs")
    kept = urlencode({name: value for name, value in query.items() if name not in _OURS})
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2], query=kept).geturl()
    return Joined(host, channels.account(host), url, Path(authority).read_text() if authority else "")

"""Addresses of Redis over TLS: its certificate is verified, or the address is refused.

kombu takes a bare `rediss://` for one whose certificate nobody need verify, where redis-py verifies it; with
a transport of one's own it even speaks plainly. So each address says that it wants it verified before either sees it.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

_REQUIRED = ("required", "CERT_REQUIRED")
_NO = ("false", "0", "no", "n")


def checked(url: str) -> str:
    """The address as both libraries verify it; `ValueError` for one that asks them not to."""
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return url
    query = dict(parse_qsl(parts.query))
    if query.get("ssl_cert_reqs", "required") not in _REQUIRED or query.get("ssl_check_hostname", "").lower() in _NO:
        raise ValueError(
            "the certificate of Redis must be verified: remove ssl_cert_reqs and ssl_check_hostname; if a private"
            " authority has signed it, name that authority's certificate with ssl_ca_certs=FILE"
        )
    authority = query.get("ssl_ca_certs")
    if authority and not Path(authority).is_file():
        raise ValueError(f"ssl_ca_certs: there is no file {authority}")
    return parts._replace(query=urlencode(query | {"ssl_cert_reqs": "required"})).geturl()

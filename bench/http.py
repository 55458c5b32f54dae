"""A client that costs little: one kept connection, no library between."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

_KEPT_SECONDS = 2.0  # the server closes an idle connection a little later


class BenchClient:
    """Requests to one fleet as one user; not for several threads at once."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=180)
        self._used_at = 0.0
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status and decoded body."""
        data = None if body is None else json.dumps(body)
        if time.monotonic() - self._used_at > _KEPT_SECONDS:
            self._connection.close()  # the next request opens it anew
        self._connection.request(method, f"/api/v1{path}", data, self._headers | headers)
        response = self._connection.getresponse()
        text = response.read()
        self._used_at = time.monotonic()
        return response.status, json.loads(text) if text else None

    def must(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The body of an answer that is a success."""
        status, answer = self.request(method, path, body, **headers)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        return answer


def login(url: str, username: str, password: str) -> str:
    """A token."""
    answer = BenchClient(url).must("POST", "/auth/login", {"username": username, "password": password})
    return str(answer["access_token"])

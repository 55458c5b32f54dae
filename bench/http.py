"""A client that costs little: one kept connection, no library between."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit


class Client:
    """Requests to one fleet as one user; not for several threads at once."""

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=180)
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status and decoded body."""
        data = None if body is None else json.dumps(body)
        self._connection.request(method, f"/api/v1{path}", data, self._headers | headers)
        response = self._connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None

    def must(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The body of an answer that is a success."""
        status, answer = self.request(method, path, body, **headers)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        return answer


def login(url: str, username: str, password: str) -> str:
    """A token."""
    answer = Client(url).must("POST", "/auth/login", {"username": username, "password": password})
    return str(answer["access_token"])

"""A small client of the microvm dialect, as any program could have one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from core.contract.errors import CorralError, NotFound, Unavailable

_TIMEOUT = 60.0


class FleetClient:
    """Speaks to one fleet as one user."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url = url
        self._session = requests.Session()
        # A connection that idles is closed by the server, perhaps at the moment that we use it again.
        self._session.headers["Connection"] = "close"
        token = self.request("POST", "/auth/login", {"username": username, "password": password})["access_token"]
        self.authorization = {"Authorization": f"Bearer {token}"}
        self._session.headers.update(self.authorization)

    def request(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The decoded answer; `CorralError` with the server's message when it is a refusal."""
        answer = self._send(method, path, body, headers)
        return answer.json() if answer.content else None

    def follow(self, method: str, path: str, body: object, tell: Callable[[str], None]) -> Any:
        """Begin a change and wait for its end, telling each step; the finished operation."""
        answer = self._send(method, path, body, {"Prefer": "respond-async"})
        operation = answer.json()
        while operation["state"] in ("queued", "running"):
            tell((operation.get("progress") or {}).get("step") or operation["state"])
            operation = self.request("GET", f"/operations/{operation['id']}/wait?timeout=1")
        if operation["state"] != "succeeded":
            error = operation.get("error") or {}
            raise CorralError(
                f"{operation['kind']} {operation['state']}: {error.get('message', 'no reason was given')}"
            )
        return operation

    def _send(self, method: str, path: str, body: object, headers: dict[str, str]) -> requests.Response:
        try:
            answer = self._session.request(
                method, f"{self.url}/api/v1{path}", json=body, headers=headers, timeout=_TIMEOUT
            )
        except requests.RequestException as error:
            raise Unavailable(f"{self.url} does not answer: {type(error).__name__}") from None
        if answer.status_code >= 400:
            kind = NotFound if answer.status_code == 404 else CorralError
            raise kind(f"{method} {path}: {answer.status_code} {_message(answer)}")
        return answer


def _message(answer: requests.Response) -> str:
    try:
        body = answer.json()
        rejected = body.get("details", {}).get("rejected", []) if isinstance(body.get("details"), dict) else []
        return "; ".join([str(body["message"]), *(f"{each['host']}: {each['reason']}" for each in rejected)])
    except (ValueError, KeyError, TypeError):
        return answer.reason

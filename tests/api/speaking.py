"""Speaks one dialect to a running VM."""

from __future__ import annotations

from typing import Any

from tests.support.clients import Client

EXECS = "/vms/apart/execs"


class Speaker:
    """Speaks one dialect; the answers are without its envelope."""

    def __init__(self, client: Client, dialect: str) -> None:
        self.client, self.headers, self._is_bare = client, getattr(client, dialect), dialect == "bearer"

    def __call__(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        answer = self.client.call(method, path, self.headers, body, **headers)
        assert answer.status_code == status, answer.text
        if not answer.content:
            return None
        if self._is_bare or status >= 400:
            return answer.json()
        assert answer.json()["status"] == "success"
        return answer.json()["data"]

    def begin(self, command: str, **body: Any) -> str:
        return str(self("POST", EXECS, {"command": command, **body}, 201)["id"])

"""A VM as its owner has it over the API, whatever its driver is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests

from tests.support.clients import Client
from tests.support.waiting import HANG_SECONDS, until


@dataclass
class Guest:
    """One VM of a client's, by its name. `started` makes it and starts it."""

    client: Client
    name: str

    @classmethod
    def started(cls, client: Client, name: str, **wanted: Any) -> Guest:
        """A new one, that runs."""
        made = cls(client, name)
        made.create(**wanted)
        made.request("POST", "/start").raise_for_status()
        return made

    def create(self, **wanted: Any) -> Any:
        """What is answered to it."""
        answer = self.client.request("POST", "/vms", json={"name": self.name, **wanted})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def request(self, method: str, path: str, who: dict[str, str] | None = None, **options: Any) -> requests.Response:
        """One request about it; `path` is below its own."""
        return self.client.request(method, f"/vms/{self.name}{path}", who, **options)

    def status(self) -> str:
        """As the microvm dialect tells it."""
        return str(self.request("GET", "").json()["status"])

    def becomes(self, status: str, seconds: float = HANG_SECONDS) -> None:
        """Wait for a status."""
        until(lambda: self.status() == status, seconds, status)

    def delete(self) -> None:
        """It was there, and is not any more."""
        answer = self.request("DELETE", "")
        assert answer.status_code == 204, answer.text

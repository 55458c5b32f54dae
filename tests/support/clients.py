"""How every test asks a fleet over HTTP: as one of its users, in either dialect."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import requests

from cli.fleet.fleet import Fleet

PASSWORD = "correct horse"
_SECONDS = 120.0


@dataclass
class Client:
    """A user's two credentials, as headers: `bearer` asks in the microvm dialect, `key` in the vboxmcp dialect.

    `url` has the API's version. Either credential may be none.
    """

    url: str
    bearer: dict[str, str] = field(default_factory=dict)
    key: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, who: dict[str, str] | None = None, body: Any = None, **headers: str) -> Any:
        """One request with a body of JSON; a `requests.Response`, whose JSON is told as Any."""
        return self.request(method, path, who, json=body, headers=headers)

    def request(
        self, method: str, path: str, who: dict[str, str] | None = None, *, headers: Any = None, **options: Any
    ) -> requests.Response:
        """One request, with the options of `requests`. `who` is a credential: their token unless another is given."""
        sent = (self.bearer if who is None else who) | (headers or {})
        return requests.request(method, self.url + path, headers=sent, timeout=_SECONDS, **options)


def new_user(fleet: Fleet) -> Client:
    """One that nobody else is, who has nothing yet."""
    known = {"username": f"u{secrets.token_hex(5)}", "password": PASSWORD}
    client = Client(f"{fleet.url}/api/v1")
    client.call("POST", "/auth/register", body=known).raise_for_status()
    client.bearer = token(client, known)
    client.key = new_key(client)
    return client


def administrator(fleet: Fleet) -> Client:
    """The fleet's first user."""
    has = fleet.credentials
    client = Client(f"{fleet.url}/api/v1", key={"X-API-Key": has.api_key})
    client.bearer = token(client, {"username": has.username, "password": has.password})
    return client


def token(client: Client, known: dict[str, str]) -> dict[str, str]:
    """Logs in; the header that tells so."""
    answer = client.call("POST", "/auth/login", body=known)
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def new_key(client: Client, access: str = "full") -> dict[str, str]:
    """Another API key of theirs, as a header."""
    answer = client.call("POST", "/keys", body={"name": "k", "access": access})
    answer.raise_for_status()
    return {"X-API-Key": answer.json()["key"]}

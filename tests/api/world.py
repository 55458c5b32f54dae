"""The API in this process, its users, and what is in its tables."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Any

from werkzeug.test import Client

from api.app import create_app
from api.web.context import ApiContext
from core.contract import channels
from core.contract.messages import ReceiverState, encode
from core.settings import Settings
from tests.support.clients import PASSWORD
from tests.support.record import Caller, Record

__all__ = ["PASSWORD", "Caller"]
INVALID = {"microvm": 422, "vboxmcp": 400}
"""How each dialect answers what breaks its schema."""
VM = {"name": "web"}
VBOX_VM = {"name": "web", "memory_mb": 1024, "cpus": 1, "storage_gb": 10, "os_type": "Ubuntu_64"}


class World:
    """`get`, `post` ... go through the dispatcher, as any request does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.application = create_app(settings)
        self.context: ApiContext = self.application.microvm.extensions["corral"]
        self.record = Record(self.context.engine, self.context.dispatch)
        self._client = Client(self.application)

    def close(self) -> None:
        """End its threads and connections."""
        self.application.realtime.close()
        self.context.tally.close()
        self.context.dispatch.close()
        self.context.engine.dispose()

    def request(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        """One request; `path` below /api/v1. Returns werkzeug's TestResponse (Any: its `json` may be None)."""
        return self._client.open(f"/api/v1{path}", method=method, headers=headers or {}, **options)

    def get(self, path: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        return self.request("GET", path, headers, **options)

    def post(self, path: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        return self.request("POST", path, headers, **options)

    def delete(self, path: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        return self.request("DELETE", path, headers, **options)

    def caller(self, role: str = "user", *, access: str = "full") -> Caller:
        """A new user, logged in, with a key."""
        made = self.record.caller(role, access=access, password=PASSWORD)
        return replace(made, token=self.token(made.actor.username))

    def token(self, username: str) -> str:
        """A token for that user."""
        answer = self.post("/auth/login", json={"username": username, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return str(answer.get_json()["access_token"])

    def add_host(self, prefix: str, **changes: Any) -> str:
        """A host that is online, under a name of its own: tests of one process share the database."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.record.add_host(name, **changes)
        return name

    def beat(self, seconds_ago: float = 0.0, swept_ago: float | None = None, waiting: int = 0) -> None:
        """As if a worker had been alive then, and its sweeps had been done."""
        at, redis = time.time(), self.context.dispatch.redis
        redis.zadd(channels.WORKERS, {"worker": at - seconds_ago})
        redis.set(channels.SWEPT, at - (seconds_ago if swept_ago is None else swept_ago))
        redis.hset(channels.RECEIVERS, "worker", encode(ReceiverState(at - seconds_ago, waiting)))

    def add_vm(self, owner: Caller, name: str = "", **changes: Any) -> str:
        """A stopped VM, as if it had been created and reported; its id."""
        return self.record.vm(owner, name, **changes).id


# What each dialect says of a body that will not do.
REFUSED = {"microvm": (422, "validation_error"), "vboxmcp": (400, "invalid_request")}


def problem(answer: Any) -> tuple[int, str]:
    """The status and the word of an error, in either shape, which is checked."""
    body = answer.get_json()
    if "status" in body:
        assert set(body) == {"status", "error"}
        assert body["status"] == "error"
        assert set(body["error"]) == {"code", "message", "details"}
        return answer.status_code, body["error"]["code"]
    assert {"error", "message"} <= set(body) <= {"error", "message", "details", "retry_after_seconds", "request_id"}
    return answer.status_code, body["error"]

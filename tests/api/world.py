"""The API in this process, its users, and what is in its tables."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from werkzeug.test import Client

from agent.drivers.fake import FakeDriver
from api.app import create_app
from api.parts import Parts
from core.contract import channels
from core.contract.hosts import HostFacts
from core.contract.messages import ReceiverState, encode
from core.contract.vms import Hardware, VmNetwork
from core.models import Host, Vm
from core.models.base import now
from core.services import keys, users
from core.services.context import Actor
from core.settings import Settings

PASSWORD = "correct horse"
VM = {"name": "web"}
VBOX_VM = {"name": "web", "memory_mb": 1024, "cpus": 1, "storage_gb": 10, "os_type": "Ubuntu_64"}


@dataclass
class Caller:
    """A user, and both of their credentials as headers."""

    actor: Actor
    bearer: dict[str, str]
    key: dict[str, str]

    def headers(self, dialect: str) -> dict[str, str]:
        """The credential that chooses that dialect."""
        return self.bearer if dialect == "microvm" else self.key


class World:
    """`get`, `post` ... go through the dispatcher, as any request does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.application = create_app(settings)
        self.parts: Parts = self.application.microvm.extensions["corral"]
        self._client = Client(self.application)

    def close(self) -> None:
        """End its threads and connections."""
        self.application.realtime.close()
        self.parts.tally.close()
        self.parts.dispatch.close()
        self.parts.engine.dispose()

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
        username = f"u{secrets.token_hex(5)}"
        with self.parts.transaction() as session:
            user = users.add(session, username, PASSWORD, role)
            actor = Actor(user.id, user.username, user.role)
            _, secret = keys.create(session, actor, "test", access)
        return Caller(actor, {"Authorization": f"Bearer {self.token(username)}"}, {"X-API-Key": secret})

    def token(self, username: str) -> str:
        """A token for that user."""
        answer = self.post("/auth/login", json={"username": username, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return str(answer.get_json()["access_token"])

    def add_host(self, name: str, **changes: Any) -> None:
        """A host that was heard of just now."""
        fake = {
            "name": "fake",
            "healthy": True,
            "version": "1",
            "acceleration": "none",
            "capabilities": sorted(FakeDriver.capabilities),
            "problem": "",
        }
        values = {
            "boot_id": "b",
            "generation": 1,
            "vcpus": 100_000,
            "memory_mb": 1_000_000_000,
            "disk_gb": 10_000_000,
            "drivers": [fake],
            "images": ["linux-default", "windows-default"],
            "facts": HostFacts(),
            "last_seen_at": now(),
        }
        with self.parts.transaction() as session:
            session.add(Host(name=name, **(values | changes)))

    def beat(self, seconds_ago: float = 0.0, swept_ago: float | None = None, waiting: int = 0) -> None:
        """As if a worker had been alive then, and its sweeps had been done."""
        at, redis = time.time(), self.parts.dispatch.redis
        redis.zadd(channels.WORKERS, {"worker": at - seconds_ago})
        redis.set(channels.SWEPT, at - (seconds_ago if swept_ago is None else swept_ago))
        redis.hset(channels.RECEIVERS, "worker", encode(ReceiverState(at - seconds_ago, waiting)))

    def add_vm(self, owner: Caller, name: str = "", **changes: Any) -> str:
        """A stopped VM, as if it had been created and reported; its id."""
        values = {
            "hypervisor": "fake",
            "host_name": "host-a",
            "os_type": "linux",
            "image": "linux-default",
            "vcpus": 1,
            "memory_mb": 512,
            "disk_gb": 10,
            "network": VmNetwork(mac_address="52:54:00:00:00:01"),
            "hardware": Hardware(),
            "wanted": "stopped",
            "observed": "stopped",
            "reserved": False,
        }
        with self.parts.transaction() as session:
            vm = Vm(name=name or f"vm{secrets.token_hex(5)}", owner_id=owner.actor.user_id, **(values | changes))
            session.add(vm)
            session.flush()
            return vm.id


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

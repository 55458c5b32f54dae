"""Files of a running VM of a new user's, over HTTP."""

from __future__ import annotations

from typing import Any

import psutil
import requests

from cli.fleet.fleet import Fleet
from tests.support.clients import new_user
from tests.support.guests import Guest


class Files:
    """Those of a running VM of a new user's."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.client = fleet, new_user(fleet)
        self.guest = Guest.started(self.client, "files")

    def call(self, method: str, path: str, dialect: str = "microvm", **options: Any) -> requests.Response:
        who = self.client.bearer if dialect == "microvm" else self.client.key
        return self.client.request(method, path, who, **options)

    def upload(self, path: str, data: Any, dialect: str = "microvm", **more: Any) -> requests.Response:
        fields = {"path": path} | {name: more.pop(name) for name in ("permissions",) if name in more}
        return self.call("POST", "/vms/files/files/upload", dialect, data=fields, files={"file": data}, **more)

    def download(self, path: str, dialect: str = "microvm", **more: Any) -> requests.Response:
        return self.call("GET", "/vms/files/files/download", dialect, params={"path": path}, **more)

    def listed(self, path: str, dialect: str = "microvm", **more: Any) -> Any:
        answer = self.call("GET", "/vms/files/files", dialect, params={"path": path, **more})
        assert answer.status_code == 200, answer.text
        return answer.json() if dialect == "microvm" else answer.json()["data"]

    def paths(self, path: str) -> list[str]:
        return [entry["path"] for entry in self.listed(path)["files"]]

    def memory(self, name: str) -> int:
        """The most that a process of that name, or one of its workers, holds."""
        process = psutil.Process(self.fleet.process(name).pid)
        return max(each.memory_info().rss for each in [process, *process.children()])

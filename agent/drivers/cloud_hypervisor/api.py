"""Cloud Hypervisor's REST API, on the unix socket that each of its processes serves: one request, one connection.

Its document is vmm/src/api/openapi/cloud-hypervisor.yaml in its own sources. It ignores what it does not know, so that
a misspelt field is no error of its: tests/cloud_hypervisor compare what we send with the document.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.system import sockets
from core.contract.errors import DriverFailure
from core.contract.messages import JSON

SOCKET = "run/api.sock"
ROOT = "/api/v1/"


class CloudHypervisorError(DriverFailure):
    """Cloud Hypervisor answered with an error; `status` is that of HTTP."""

    status = 0


class Silent(DriverFailure):
    """Nobody answers there."""


class CloudHypervisorApi:
    """The API of the VM in that folder; no request takes longer than what is left of `timeout` seconds."""

    def __init__(self, folder: Path, timeout: float) -> None:
        self._path, self._deadline = folder / SOCKET, time.monotonic() + timeout

    def get(self, name: str) -> JSON:
        """What it tells."""
        answer: JSON = self._ask("GET", name, None, ()) or {}
        return answer

    def put(self, name: str, body: JSON | None = None, descriptors: Sequence[int] = ()) -> JSON:
        """Has it do something; `descriptors` are open files that the request speaks of."""
        answer: JSON = self._ask("PUT", name, body, descriptors) or {}
        return answer

    def _ask(self, method: str, name: str, body: JSON | None, descriptors: Sequence[int]) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {ROOT}{name} HTTP/1.1", "Host: localhost", "Accept: application/json"]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        request = "\r\n".join([*lines, "", ""]).encode() + data
        try:
            with sockets.connect(self._path, max(0.1, self._deadline - time.monotonic())) as stream:
                _send(stream, request, descriptors)
                with http.client.HTTPResponse(stream, method=method) as response:
                    response.begin()
                    said = response.read()
        except TimeoutError:
            raise Silent(f"Cloud Hypervisor did not answer '{name}' in time", code="timeout") from None
        except (OSError, http.client.HTTPException) as error:
            raise Silent(f"Cloud Hypervisor can't be reached for '{name}': {error}") from None
        if response.status >= 300:
            refused = CloudHypervisorError(f"Cloud Hypervisor refused '{name}' ({response.status}): {_reason(said)}")
            refused.status = response.status
            raise refused
        return json.loads(said) if said else None


def _send(stream: socket.socket, request: bytes, descriptors: Sequence[int]) -> None:
    """The descriptors go with the first byte; all the rest may take several writes."""
    if descriptors:
        sent = socket.send_fds(stream, [request], list(descriptors))
        request = request[sent:]
    stream.sendall(request)


def _reason(said: bytes) -> str:
    """An error is told as a list, from what was asked down to what went wrong."""
    try:
        told = json.loads(said)
    except ValueError:
        return said.decode(errors="replace") or "no reason given"
    return ": ".join(map(str, told)) if isinstance(told, list) else str(told)

"""Every example of the vboxmcp document, its Python client and its curl lines, against a real fleet."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from cli.fleet.fleet import Fleet
from tests.documents.conftest import Reader
from tests.documents.fitting import differences
from tests.documents.parsing import Example, examples

_TEXT = (Path(__file__).parents[2] / "docs/documents/vboxmcp.md").read_text()
_DOCUMENT = examples(_TEXT)
_REQUESTS = {each.of: each.body for each in _DOCUMENT if each.part == "request"}
_ANSWERS = [each for each in _DOCUMENT if each.part == "response" and each.of != "error"]
_VM = "vms/{vm_id_or_name}"

Call = Callable[[Reader, str], requests.Response]


@pytest.fixture(scope="module")
def resting(key: Reader) -> Iterator[str]:
    """The name of a VM that does not run, made as the document shows; deleted in the end."""
    name = f"resting-{secrets.token_hex(3)}"
    answer = key("POST /vms", _REQUESTS["POST /vms"] | {"name": name})
    assert answer.status_code == 200, answer.text
    yield name
    assert key("DELETE /vms/{name}", name=name).status_code == 200


def _get(of: str) -> Call:
    return lambda client, name: client(of, vm_id_or_name=name)


def _create(client: Reader, name: str) -> requests.Response:
    mine = f"new-{secrets.token_hex(3)}"
    answer = client("POST /vms", _REQUESTS["POST /vms"] | {"name": mine})
    client("DELETE /vms/{name}", name=mine)
    return answer


def _start(client: Reader, name: str) -> requests.Response:
    of = f"POST /{_VM}/start"
    mine = f"started-{secrets.token_hex(3)}"
    client("POST /vms", _REQUESTS["POST /vms"] | {"name": mine})
    answer = client(of, _REQUESTS[of], vm_id_or_name=mine)
    client("DELETE /vms/{name}", name=mine)
    return answer


def _snapshot(client: Reader, name: str) -> requests.Response:
    of = f"POST /{_VM}/snapshots"
    return client(of, _REQUESTS[of] | {"name": f"s-{secrets.token_hex(3)}"}, vm_id_or_name=name)


def _restore(client: Reader, name: str) -> requests.Response:
    of = f"POST /{_VM}/snapshots/{{snapshot_id}}/restore"
    snapshot = _snapshot(client, name).json()["data"]["snapshot_id"]
    return client(of, {"start_vm": False}, vm_id_or_name=name, snapshot_id=snapshot)


def _attach(client: Reader, name: str) -> requests.Response:
    of = f"POST /{_VM}/disks"
    medium = f"{name}-{secrets.token_hex(3)}.qcow2"
    return client(of, _REQUESTS[of] | {"medium": medium, "size_gb": 1}, vm_id_or_name=name)


def _configure(client: Reader, name: str) -> requests.Response:
    of = f"PUT /{_VM}/network-adapters/{{slot}}"
    wanted = {"enabled": True, "type": "82540EM", "cable_connected": True, "mode": "nat"}
    return client(of, wanted, vm_id_or_name=name, slot=0)


_CALLS: dict[str, Call] = {
    "GET /vms": _get("GET /vms"),
    f"GET /{_VM}": _get(f"GET /{_VM}"),
    "POST /vms": _create,
    f"POST /{_VM}/start": _start,
    f"POST /{_VM}/snapshots": _snapshot,
    f"POST /{_VM}/snapshots/{{snapshot_id}}/restore": _restore,
    f"GET /{_VM}/disks": _get(f"GET /{_VM}/disks"),
    f"POST /{_VM}/disks": _attach,
    f"GET /{_VM}/network-adapters": _get(f"GET /{_VM}/network-adapters"),
    f"PUT /{_VM}/network-adapters/{{slot}}": _configure,
    "GET /system/info": _get("GET /system/info"),
}


@pytest.mark.parametrize("example", _ANSWERS, ids=lambda example: example.of)
def test_what_the_document_shows_is_answered(key: Reader, resting: str, example: Example) -> None:
    answer = _CALLS[example.of](key, resting)
    assert answer.status_code == 200, answer.text
    assert differences(example.body, answer.json()) == []


def test_errors_are_told_as_the_document_shows(key: Reader) -> None:
    (example,) = [each for each in _DOCUMENT if each.of == "error"]
    answer = key("GET /vms/vm-999999")
    assert answer.status_code == 404
    assert differences(example.body, answer.json()) == []
    assert answer.json()["error"]["code"] == example.body["error"]["code"]
    assert answer.json()["error"]["details"] == example.body["error"]["details"]


def test_the_documents_python_client_runs_unchanged(fleet: Fleet, tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", _TEXT, re.DOTALL)
    shown = script.replace("http://localhost:8000", fleet.url).replace("your-api-key", fleet.credentials.api_key)
    more = """
made = client.create_vm("by-its-client", 512, 1, 2)
print(made["data"]["message"], client.start_vm(made["data"]["id"])["data"]["state"])
"""
    done = subprocess.run(
        [sys.executable, "-c", shown + more], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "VM created successfully starting"
    requests.delete(
        f"{fleet.url}/api/v1/vms/by-its-client", headers={"X-API-Key": fleet.credentials.api_key}, timeout=120
    ).raise_for_status()


def test_the_documents_curl_lines_run_unchanged(key: Reader, fleet: Fleet) -> None:
    lines: list[str] = re.findall(r"```bash\n(.*?)```", _TEXT, re.DOTALL)
    assert len(lines) == 3
    said: list[Any] = []
    for line in lines:
        shown = line.replace("http://localhost:8000", fleet.url).replace("your-api-key", fleet.credentials.api_key)
        done = subprocess.run(
            ["bash", "-c", shown.replace("curl ", "curl --silent --show-error --fail-with-body ")],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    assert "VM created successfully" in said[1]
    assert '"state":"starting"' in said[2]
    assert key("DELETE /vms/test-vm").status_code == 200

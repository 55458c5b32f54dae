"""Schemathesis against both OpenAPI documents: no 5xx, and no answer that they do not describe."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.fleet.fleet import Fleet
from tests.support.clients import new_user

# What the document can't say (there is no such host, that time is past) is refused all the same.
_CONFIGURATION = """\
parameters = {{ "{vm}" = "conforming", "{snapshot}" = "conforming" }}

[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422", "429"]

# What the other operations are to meet must not be deleted before they do.
[[operations]]
include-name = "DELETE /api/v1/vms/{{{vm}}}"
parameters = {{ "{vm}" = "gone" }}

[[operations]]
include-name = "DELETE /api/v1/vms/{{{vm}}}/snapshots/{{{snapshot}}}"
parameters = {{ "{snapshot}" = "gone" }}
"""
_PATHS = {"microvm": ("vm_name", "snapshot_name"), "vboxmcp": ("vm_id_or_name", "snapshot_id")}
_SNAPSHOT = {"name": "conforming"}
_FOR_OTHERS = 6  # three for administrators, and three for hosts' agents alone
_SECONDS = 600  # it takes a third of that on a machine of its own


def _credentials(fleet: Fleet) -> tuple[str, str]:
    """A token and a key of a new user's, who has a running VM with a snapshot."""
    user = new_user(fleet)
    for path, wanted in (
        ("", {"name": "conforming"}),
        ("/conforming/start", None),
        ("/conforming/snapshots", _SNAPSHOT),
    ):
        user.call("POST", f"/vms{path}", body=wanted).raise_for_status()
    ((of_token, token),), ((of_key, key),) = user.bearer.items(), user.key.items()
    return f"{of_token}: {token}", f"{of_key}: {key}"


@pytest.mark.timeout(_SECONDS + 60)
@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_all_that_is_answered_is_documented(fleet: Fleet, tmp_path: Path, dialect: str) -> None:
    vm, snapshot = _PATHS[dialect]
    (tmp_path / "schemathesis.toml").write_text(_CONFIGURATION.format(vm=vm, snapshot=snapshot))
    bearer, key = _credentials(fleet)
    # Schemathesis remembers the ids that it is shown: it would revoke the very key that it calls with.
    choice = ["-H", bearer] if dialect == "microvm" else ["-H", key, "--exclude-path", "/api/v1/keys/{key_id}"]
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{fleet.url}/openapi/{dialect}.json",
        *choice,
        "--phases=coverage,fuzzing",
        "--checks=all",
        "--max-examples=8",
        "--workers=1",  # in two threads at once, CPython 3.11 fails in ast.parse now and then
        "--generation-deterministic",
        "--request-timeout=40",
        "--continue-on-failure",
        "--no-color",
    ]
    done = subprocess.run(command, cwd=tmp_path, timeout=_SECONDS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    refused = re.search(r"Authentication failed: (\d+) operations", done.stdout)
    assert refused is None or int(refused[1]) <= _FOR_OTHERS

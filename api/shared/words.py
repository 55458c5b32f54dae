"""Names and words that the bodies of both dialects share."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import fields, validate

from api.rest.fields import ChoiceField, Pattern
from api.web.context import api_context
from core.contract import images
from core.contract.states import RestartPolicy
from core.services import snapshots, vms

HYPERVISORS = ("cloud-hypervisor", "qemu", "virtualbox")
_FAKE = "fake"  # known, and documented nowhere, where the settings offer it
OS_TYPES = ("linux", "windows")
VM_NAME = Pattern(vms.NAME, "must have 1 to 63 letters, digits, '.', '_' or '-', and begin with a letter or digit")
SNAPSHOT_NAME = Pattern(
    snapshots.NAME, "must have 1 to 63 letters, digits, '.', '_' or '-', and begin with a letter or digit"
)
IMAGE_NAME = Pattern(images.NAME, "must have 1 to 63 lower-case letters, digits, '.', '_' or '-'")
HOST_NAME = Pattern(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"), "must be a host's name")
EXEC_NAME = Pattern(vms.NAME, "must have 1 to 63 letters, digits, '.', '_' or '-', and begin with a letter or digit")
RETURN = "return"
VARIABLE_NAME = Pattern(re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}"), "must be a variable's name")
GUEST_PATH = Pattern(re.compile(r"/[\s\S]*"), "must be an absolute path")
GUEST_FILE = Pattern(re.compile(r"/[\s\S]*[^/]"), "must be the absolute path of a file")
PERMISSIONS = Pattern(re.compile(r"[0-7]{3,4}"), "must be three or four octal digits")


def preferred(*hypervisors: str) -> tuple[str, ...]:
    """What a VM that names no hypervisor may run on, best first."""
    return (*hypervisors, _FAKE) if api_context().settings.fake else hypervisors


class _Hypervisors(validate.OneOf):
    def __call__(self, value: Any) -> Any:
        return value if value == _FAKE and api_context().settings.fake else super().__call__(value)


class HypervisorField(fields.String):
    """The name of one."""

    def __init__(self, **kwargs: Any) -> None:
        error = f"must be one of {', '.join(HYPERVISORS)}"
        super().__init__(validate=_Hypervisors(HYPERVISORS, error=error), **kwargs)


class RestartPolicyField(ChoiceField):
    """What becomes of a VM when its host is fenced or given up."""

    def __init__(self, **kwargs: Any) -> None:
        about = "elsewhere: when its host is fenced or given up it is created again on another, from its image"
        super().__init__(*RestartPolicy, metadata={"description": about}, **kwargs)


class IfExists(ChoiceField):
    """What a create is to do about a name that is taken."""

    def __init__(self) -> None:
        about = "return: what has that name is the answer, whatever it is like; fail: a 409"
        super().__init__("fail", RETURN, load_default="fail", metadata={"description": about})

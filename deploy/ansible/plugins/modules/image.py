"""Images of a fleet: there with a content, or not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ansible_collections.corral.fleet.plugins.module_utils.fleet import Fleet, given, plain, run

DOCUMENTATION = r"""
module: image
short_description: Manage images of a Corral fleet
description:
  - Uploads and removes images, as an administrator. An image with the same files and fields is left alone.
options:
  name:
    description: The image's name.
    type: str
    required: true
  state:
    description: Whether there is to be one.
    type: str
    choices: [present, absent]
    default: present
  disk:
    description: A qcow2 or raw disk, on the machine where the module runs. Needed to create an image.
    type: path
  kernel:
    description: A kernel, if the disk's own boot loader is not to be used.
    type: path
  initrd:
    description: An initial RAM disk for that kernel.
    type: path
  cmdline:
    description: The kernel's command line.
    type: str
  os_type:
    description: The guest's family.
    type: str
    choices: [linux, windows]
  guest_agent:
    description: Whether QEMU's guest agent starts in the guest by itself.
    type: bool
  description:
    description: What it is.
    type: str
  replace:
    description:
      - Replace an image that differs. VMs created from it keep their disks.
      - Without it, an image that differs is an error.
    type: bool
    default: false
extends_documentation_fragment: corral.fleet.fleet
author: The Corral developers (@corral)
"""

EXAMPLES = r"""
- name: The fleet has our image
  corral.fleet.image:
    name: debian-web
    disk: images/debian-web.qcow2
    guest_agent: true
    replace: true
"""

RETURN = r"""
image:
  description: The image as it is then; empty when there is none. In check mode, as it is now.
  returned: success
  type: dict
"""

_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "disk": {"type": "path"},
    "kernel": {"type": "path"},
    "initrd": {"type": "path"},
    "cmdline": {"type": "str"},
    "os_type": {"type": "str", "choices": ["linux", "windows"]},
    "guest_agent": {"type": "bool"},
    "description": {"type": "str"},
    "replace": {"type": "bool", "default": False},
}
_FILES, _FIELDS = ("disk", "kernel", "initrd"), ("cmdline", "os_type", "guest_agent", "description")


def work(fleet: Fleet) -> dict[str, Any]:
    """Makes it as it is to be."""
    name, images = fleet.params["name"], fleet.client.images
    found = fleet.found(images.get, name)
    fleet.before = _shown(found)
    fleet.after = dict(fleet.before)
    if fleet.params["state"] == "absent":
        if found is not None:
            fleet.change(images.delete, name)
            fleet.after = {}
    else:
        _present(fleet, found)
    return {"image": plain(fleet.found(images.get, name) if fleet.changed else found)}


def _present(fleet: Fleet, found: Any) -> None:
    name, images = fleet.params["name"], fleet.client.images
    paths = {each: Path(path) for each, path in given(fleet.params, *_FILES).items()}
    wanted = {"name": name} | {f"{each}_sha256": _sha256(path) for each, path in paths.items()}
    wanted |= given(fleet.params, *_FIELDS)
    differing = [each for each, value in wanted.items() if fleet.before.get(each) != value]
    if not differing:
        return
    if "disk" not in paths:
        why = f"differs in {', '.join(differing)}" if found else "is not there"
        fleet.refuse(f"image '{name}' {why}, and can't be created: give `disk`, the file of its disk")
    if found is not None:
        if not fleet.params["replace"]:
            fleet.refuse(
                f"image '{name}' differs in {', '.join(differing)}: give `replace: true` to replace it; VMs created "
                "from it keep their disks"
            )
        fleet.change(images.delete, name)
    fleet.change(images.upload, name, paths.pop("disk"), **paths, **given(fleet.params, *_FIELDS))
    fleet.after = wanted


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shown(image: Any) -> dict[str, Any]:
    if image is None:
        return {}
    return {each: getattr(image, each) for each in ("name", *(f"{file}_sha256" for file in _FILES), *_FIELDS)}


if __name__ == "__main__":
    run(_OPTIONS, work)

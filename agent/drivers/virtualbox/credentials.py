"""The guest account for Guest Additions: encrypted in the VM's folder, and decrypted only while it is used."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.drivers.virtualbox.folder import VirtualBoxVmFolder
from agent.system.vault import Vault
from core import durable
from core.contract.errors import DriverFailure, Invalid, Unsupported
from core.contract.messages import decode

FILE = "guest.credentials"
LONGEST = 256


@dataclass(frozen=True)
class GuestCredentials:
    """The name and password of an account in the guest."""

    username: str
    password: str


def keep(vault: Vault, folder: VirtualBoxVmFolder, credentials: GuestCredentials) -> None:
    """Seals them; an account without a password can't be used by Guest Additions."""
    for word in (credentials.username, credentials.password):
        if not 0 < len(word) <= LONGEST or not word.isprintable() or word.startswith("-"):
            raise DriverFailure(
                f"username and password must have 1 to {LONGEST} printable characters and not begin with '-'",
                code="invalid_request",
            )
    folder.record()
    durable.write_private(folder.path / FILE, vault.seal(json.dumps(asdict(credentials)).encode()))


@contextmanager
def opened(vault: Vault, folder: VirtualBoxVmFolder) -> Iterator[list[str]]:
    """The options for `guestcontrol`. The password is in a file for so long: arguments can be read by everyone."""
    found = _read(vault, folder)
    descriptor, name = tempfile.mkstemp(prefix=".password-", dir=folder.path)  # mode 0600
    try:
        with open(descriptor, "w") as file:
            file.write(found.password)
        yield ["--username", found.username, "--passwordfile", name]
    finally:
        Path(name).unlink(missing_ok=True)


def _read(vault: Vault, folder: VirtualBoxVmFolder) -> GuestCredentials:
    try:
        sealed = (folder.path / FILE).read_bytes()
    except FileNotFoundError:
        raise Unsupported(
            f"VM {folder.path.name} has no guest credentials, which VirtualBox needs to run commands in a guest: set "
            "them with PUT /vms/<name>/guest-credentials"
        ) from None
    try:
        return decode(GuestCredentials, vault.open(sealed))
    except (ValueError, Invalid):
        raise DriverFailure(
            f"the stored guest credentials ({folder.path / FILE}) are damaged: set them again", code="secret_unreadable"
        ) from None

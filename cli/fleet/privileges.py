"""The user of the PostgreSQL server: it refuses to run as root, and must be able to reach its folder."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cli.fleet.processes import StartFailed

# Any folder does that everyone may enter: the mount is seen by the server alone.
_MOUNT_POINT = "/mnt"


@dataclass(frozen=True)
class SystemAccount:
    """Runs commands as `user` (None: as we are) that see the server's folder at `folder`."""

    real_folder: Path
    user: pwd.struct_passwd | None = None
    mounted: bool = False

    @classmethod
    def for_server(cls, folder: Path) -> SystemAccount:
        """As ourselves, or, for root, as `postgres` or `nobody`, who then owns the folder."""
        if os.geteuid() != 0:
            return cls(folder)
        account = cls(folder, unprivileged())
        account.own(folder)
        if account._reaches_folder() is None:
            return account
        account = cls(folder, account.user, mounted=True)
        problem = account._reaches_folder()
        if problem is not None:
            raise StartFailed(
                f"{folder} lies under a folder that only root may enter, PostgreSQL does not run as root, and a mount "
                f"of its own is not permitted here ({problem}): set CORRAL_HOME to a folder elsewhere, or "
                "DATABASE_URL to a server"
            )
        return account

    @property
    def folder(self) -> str:
        """The server's folder as the commands see it."""
        return _MOUNT_POINT if self.mounted else str(self.real_folder)

    def command(self, command: list[str], death_signal: signal.Signals = signal.SIGKILL) -> list[str]:
        """`command` as that user. It replaces each of the programs in front of it, so its pid is the child's."""
        if self.user is None:
            return command
        # Changing the user clears the death signal: it is set again, and last.
        as_user = ["setpriv", f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups"]
        as_user += [f"--pdeathsig={death_signal.name}", "--", *command]
        if not self.mounted:
            return as_user
        script = 'mount --bind "$0" "$1" && shift && exec "$@"'
        shell = ["sh", "-c", script, str(self.real_folder), _MOUNT_POINT, *as_user]
        return ["unshare", "--mount", "--propagation=private", "--", *shell]

    def own(self, path: Path) -> None:
        """Gives a file or folder to the user."""
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def _reaches_folder(self) -> str | None:
        """None when the user may write there; else why not."""
        command = self.command(["test", "-w", self.folder])
        tried = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        return None if tried.returncode == 0 else tried.stderr.strip() or "no access"


def unprivileged() -> pwd.struct_passwd:
    """Whom PostgreSQL runs as where we are root; `StartFailed` when there is nobody."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise StartFailed("there is neither a user postgres nor nobody to run PostgreSQL as: set DATABASE_URL")

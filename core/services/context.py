"""The context of a service: the caller, and the way by which messages are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from sqlalchemy.orm import Session

from core.contract.errors import Forbidden
from core.dispatch import Dispatch


@dataclass(frozen=True)
class Actor:
    """An authenticated caller. `read_only` callers (some API keys) may change nothing; `key_id` names the key used."""

    user_id: str
    username: str
    role: str
    read_only: bool = False
    request_id: str = ""
    key_id: str | None = None

    @property
    def is_admin(self) -> bool:
        """Administrators see and may change what is anyone's."""
        return self.role == "admin"

    def must_write(self) -> None:
        """Raise `Forbidden` for a read-only credential."""
        if self.read_only:
            raise Forbidden("this API key may only read; use one with full access")

    def must_see_all(self) -> None:
        """Raise `Forbidden` for anyone but an administrator."""
        if not self.is_admin:
            raise Forbidden("only an administrator may see this")

    def must_administer(self) -> None:
        """Raise `Forbidden` for anyone but an administrator with full access."""
        self.must_write()
        if not self.is_admin:
            raise Forbidden("only an administrator may do this")


SYSTEM = Actor("system", "system", "admin")
"""The control plane itself, where nobody asked."""


def use(session: Session, dispatch: Dispatch) -> Session:
    """Let the session's after-commit messages leave by `dispatch`."""
    session.info["dispatch"] = dispatch
    return session


def dispatch_of(session: Session) -> Dispatch:
    """The way out given by `use`."""
    return cast(Dispatch, session.info["dispatch"])

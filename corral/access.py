"""The fleet and the credentials: from arguments, else the environment, else the context that `corral login` wrote.

Contexts are kept in `$CORRAL_CONFIG` or `~/.config/corral/config.json`, for its owner alone (mode 0600):
`{"current": "lab", "contexts": {"lab": {"url": ..., "token": ...}}}`.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from corral.errors import NotConfigured


@dataclass(frozen=True)
class Access:
    """An address and a credential: a token or API key, or a name and a password that tokens are fetched with."""

    url: str
    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass
class Contexts:
    """Named fleets, one of them current."""

    current: str = ""
    contexts: dict[str, Access] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path | None = None) -> Contexts:
        """What is kept; nothing when there is no file. `NotConfigured` when it can't be read."""
        path = file or config_file()
        try:
            kept: Any = json.loads(path.read_text())
            return cls(str(kept["current"]), {name: Access(**each) for name, each in kept["contexts"].items()})
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotConfigured(
                f"{path} can't be read ({type(error).__name__}); `corral login` writes a new one"
            ) from None

    def save(self, file: Path | None = None) -> None:
        """Write the file, whole, for its owner alone."""
        path = file or config_file()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        body = {"current": self.current, "contexts": {name: asdict(each) for name, each in self.contexts.items()}}
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".config-")  # 0600 from the first moment
        with os.fdopen(handle, "w") as out:
            json.dump(body, out, indent=2)
        Path(temporary).replace(path)


def config_file() -> Path:
    """Where contexts are kept."""
    if named := os.environ.get("CORRAL_CONFIG"):
        return Path(named)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "corral" / "config.json"


def find(url: str | None = None, token: str | None = None, context: str | None = None) -> Access:
    """The access that is meant: each argument, else the named context, else `CORRAL_URL` and `CORRAL_TOKEN`, else the
    current context. A context's credential goes to that context's own address alone."""
    token = token or os.environ.get("CORRAL_TOKEN", "")
    context = context or (None if url else os.environ.get("CORRAL_CONTEXT"))
    if context is None:
        url = url or os.environ.get("CORRAL_URL")
        if url and token:
            return Access(url.rstrip("/"), token)
    kept = Contexts.load()
    chosen = kept.contexts.get(context or kept.current)
    if context and chosen is None:
        known = ", ".join(sorted(kept.contexts)) or "none"
        raise NotConfigured(
            f"there is no context '{context}' (known: {known}); `corral login --context {context}` creates it"
        )
    if chosen is None or (url and url.rstrip("/") != chosen.url):
        if not url:
            raise NotConfigured("no fleet is configured: run `corral login URL`, or set CORRAL_URL and CORRAL_TOKEN")
        return Access(url.rstrip("/"), token)
    return replace(chosen, token=token or chosen.token)

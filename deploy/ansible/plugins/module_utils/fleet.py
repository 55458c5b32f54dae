"""What all modules do: reach the fleet, compare, change unless it is a check, and say what was wrong."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib

try:
    from corral import Client, errors

    MISSING = None
except ImportError:
    MISSING = traceback.format_exc()

OPTIONS: dict[str, Any] = {
    "url": {"type": "str", "fallback": (env_fallback, ["CORRAL_URL"])},
    "token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["CORRAL_TOKEN"])},
    "timeout": {"type": "int", "default": 600},
}
_ADVICE = {
    "Unauthenticated": "give an API key as `token` or in CORRAL_TOKEN; `corral key create` makes one",
    "Forbidden": "use the API key of a user who may do this: images are for administrators, and keys with read access "
    "change nothing",
    "NotConfigured": "give `url` and `token`, or set CORRAL_URL and CORRAL_TOKEN, or run `corral login`",
    "Unreachable": "is the fleet up, and is `url` right?",
    "WaitTimeout": "the change goes on; run the playbook again, or give a longer `timeout`",
}


class Fleet:
    """One module's run. `before` and `after` are what it shows as a difference."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.changed = False
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        self._client: Any = None

    @property
    def client(self) -> Any:
        """The fleet's, by the options or the environment."""
        if self._client is None:
            self._client = Client(self.params["url"], self.params["token"])
        return self._client

    def change(self, action: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Does it, unless this is a check; waits until it is done."""
        self.changed = True
        if self.module.check_mode:
            return None
        return action(*args, **options)

    def change_and_wait(self, action: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """The same, for what takes a `timeout`."""
        return self.change(action, *args, timeout=float(self.params["timeout"]), **options)

    def found(self, get: Callable[[str], Any], name: str) -> Any:
        """What has that name; None when nothing has."""
        try:
            return get(name)
        except errors.NotFound:
            return None

    def refuse(self, why: str) -> NoReturn:
        """End the module with an error."""
        self.module.fail_json(msg=why)
        raise AssertionError(why)  # fail_json does not return

    def leave(self, **told: Any) -> None:
        """End the module well."""
        self.module.exit_json(changed=self.changed, diff={"before": self.before, "after": self.after}, **told)


def run(options: dict[str, Any], work: Callable[[Fleet], dict[str, Any]], **rules: Any) -> None:
    """A module of those options and rules; `work` returns what it tells."""
    module = AnsibleModule(argument_spec=OPTIONS | options, supports_check_mode=True, **rules)
    if MISSING is not None:
        module.fail_json(
            msg=missing_required_lib("corral", reason="as the Python library, on the machine where this runs"),
            exception=MISSING,
        )
    fleet = Fleet(module)
    with _told(module):
        told = work(fleet)
        fleet.client.transport.close()
        fleet.leave(**told)


@contextlib.contextmanager
def _told(module: AnsibleModule) -> Iterator[None]:
    """An error of the library ends the module with a sentence that says what to do."""
    try:
        yield
    except errors.CorralError as error:
        advice = _ADVICE.get(type(error).__name__)
        module.fail_json(
            msg=error.message + (f": {advice}" if advice else ""),
            code=getattr(error, "code", ""),
            request_id=getattr(error, "request_id", ""),
        )
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}" if error.filename else str(error))


def plain(value: Any) -> Any:
    """A value of the library as JSON has it."""
    if value is None:
        return {}
    found = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return _plain(found)


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case datetime():
            return value.isoformat()
        case _:
            return value


def given(params: dict[str, Any], *names: str) -> dict[str, Any]:
    """Those options that were given."""
    return {name: params[name] for name in names if params[name] is not None}

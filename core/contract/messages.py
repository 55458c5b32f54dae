"""Every message between control plane and agent, as frozen values, and the only way in and out of JSON.

`decode` checks names, types and bounds, so that a malformed or absurd message is one `Invalid` at the door and never a
surprise inside. A field that is not known here is of a newer release and passed over: what a release adds is optional.
Times are seconds since the epoch (float, UTC).
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union, cast

import msgspec
from msgspec import Raw, Struct

from core.contract.bounds import Count, Line, Moment, Name, Port, Serial
from core.contract.calls import CALLS
from core.contract.commands import PARAMS, Params
from core.contract.errors import Invalid
from core.contract.hosts import Inventory
from core.contract.states import Kind, Phase
from core.contract.types import decoder
from core.contract.vms import Hardware, Observation, Progress, VmNetwork

JSON = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class ImageRef:
    """An image as a VM needs it: its name, and the digest of its manifest where one version of it is meant."""

    name: Name
    digest: Name = ""


@dataclass(frozen=True)
class Forward:
    """A port of the host that leads to one of the guest's. `protocol`: "tcp" or "udp"."""

    protocol: Name
    host_port: Port
    guest_port: Port


@dataclass(frozen=True)
class VmSpec:
    """A VM as a driver makes and starts it. `id` names its folder and its process; `owner` is the owner's id.

    `home` counts the hosts that it was made on: a host that has deleted it may have it again by a larger one alone.

    `cpu_limit_percent` of what its vCPUs, and `memory_limit_percent` of what its memory could take of the host; None:
    all of it. `forwards`: all it is to have.
    """

    id: Name
    name: Name
    hypervisor: Name
    os_type: Name
    vcpus: Count
    memory_mb: Count
    disk_gb: Count
    image: ImageRef | None = None
    network: VmNetwork = field(default_factory=VmNetwork)
    hardware: Hardware = field(default_factory=Hardware)
    owner: Name = ""
    cpu_limit_percent: Count | None = None
    memory_limit_percent: Count | None = None
    forwards: list[Forward] = field(default_factory=list)
    home: Count = 0


class Command(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Do one thing to one VM, once. `attempt` fences: an agent refuses an older one than it has seen.

    Each kind of params has a subclass, which `command` makes one of: the kind is its tag.
    """

    operation_id: Name
    attempt: Count
    vm: VmSpec
    params: Params
    deadline_at: Moment

    @property
    def kind(self) -> Kind:
        """What it does."""
        return self.params.kind


_COMMANDS: dict[type[Params], type[Command]] = {
    params: msgspec.defstruct(  # type: ignore[misc]  # it does not see what the bases make of it
        f"{params.__name__}Command", [("params", params)], bases=(Command,), frozen=True, kw_only=True, tag=kind.value
    )
    for kind, params in PARAMS.items()
}


def command(operation_id: str, attempt: int, vm: VmSpec, params: Params, deadline_at: float) -> Command:
    """The command of that kind."""
    return _COMMANDS[type(params)](
        operation_id=operation_id, attempt=attempt, vm=vm, params=params, deadline_at=deadline_at
    )


class Numbered(Struct, frozen=True):
    """The readable part of a command that can't be read as a whole."""

    operation_id: Name
    attempt: Count


@dataclass(frozen=True)
class Failure:
    """Why an operation failed: `code` for programs, `message` for people, `retryable` for whoever decides."""

    code: Name
    message: Line
    retryable: bool = False
    details: JSON = field(default_factory=dict)


class Report(Struct, frozen=True):
    """A report about one command.

    `generation` grows with every report and inventory of a host; only a newer observation is applied. `result`: of a
    success, read by `told` once it is known what the operation is.
    """

    host: Name
    generation: Serial
    operation_id: Name
    attempt: Count
    phase: Phase
    at: Moment
    observation: Observation | None = None
    progress: Progress | None = None
    result: Raw = Raw(b"{}")
    failure: Failure | None = None

    def result_as(self, kind: type[T]) -> T:
        """The result, of an operation of that kind; `Invalid` when it is none."""
        return decode(kind, bytes(self.result))


class ReportsEntry(Struct, frozen=True, tag_field="kind"):
    """An entry of a host's list of reports: one of the two types below."""

    body: Report | Inventory


class ReportEntry(ReportsEntry, frozen=True, tag="report"):
    """A report of a command, as an entry."""

    body: Report


class InventoryEntry(ReportsEntry, frozen=True, tag="inventory"):
    """The host as it is."""

    body: Inventory


@dataclass(frozen=True)
class ReceiverState:
    """The state of a worker's receiver. `waiting`: hosts whose reports could not be recorded, and are tried again."""

    at: float
    waiting: int


class Addressed(Struct, frozen=True, kw_only=True):
    """Who waits for the reply to a call, and until when; with an empty `reply_to` nobody does.

    `reply_key` is what the reply is wrapped with (core/sealing.py); empty: it comes in the clear.
    """

    id: Name
    reply_to: Name
    deadline_at: Moment
    reply_key: Name = ""


class Unread(Addressed, frozen=True, kw_only=True):
    """The readable part of a call that can't be read as a whole."""

    verb: Any = None


class Call(Addressed, frozen=True, kw_only=True, tag_field="verb"):
    """Ask the host something, at most once. The reply goes to the pub/sub channel `reply_to`, if there is one.

    Each verb has a subclass, which `call` makes one of: the verb is its tag.
    """

    vm: VmSpec | None = None
    params: Struct

    @property
    def verb(self) -> str:
        """What it asks."""
        return str(self.__struct_config__.tag)


_CALLS: dict[str, type[Call]] = {
    verb: msgspec.defstruct(  # type: ignore[misc]  # it does not see what the bases make of it
        f"{verb}_call", [("params", asked)], bases=(Call,), frozen=True, kw_only=True, tag=verb
    )
    for verb, (asked, _) in CALLS.items()
}


def call(
    call_id: str, verb: str, reply_to: str, deadline_at: float, vm: VmSpec | None, params: JSON, reply_key: str = ""
) -> Call:
    """The call of that verb; `Invalid` for params that are not its own."""
    asked = build(CALLS[verb][0], params)
    return _CALLS[verb](
        id=call_id, reply_to=reply_to, deadline_at=deadline_at, vm=vm, params=asked, reply_key=reply_key
    )


@dataclass(frozen=True)
class Sealed:
    """A call that its host alone can open: a `Call` as text, sealed by core/sealing.py."""

    sealed: str


@dataclass(frozen=True)
class Reply:
    """The answer to a call: a result, or why not. `parked`: it is too long to publish; see `channels.parked_reply`.

    `wrapped` holds all of that, where the call brought a key along.
    """

    call_id: str
    result: JSON | None = None
    failure: Failure | None = None
    parked: bool = False
    wrapped: str = ""


_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def encode(message: Any) -> str:
    """One message as compact JSON, which `decode` takes: characters that no message may have become "?"."""
    try:
        text = msgspec.json.encode(message)
    except UnicodeEncodeError:  # half of a surrogate pair, as in the name of a file that is not UTF-8
        text = b""
    if not text or _has_nul(text):
        text = msgspec.json.encode(_plain(msgspec.to_builtins(message)))
    return text.decode()


def decode(kind: type[T], text: str | bytes) -> T:
    """The message of that kind in `text`; `Invalid` when it is not exactly one, whatever else it is."""
    try:
        raw = text.encode() if isinstance(text, str) else text
        if _has_nul(raw):
            raise Invalid(f"{kind.__name__}: a NUL character is not allowed")
        return cast(T, decoder(_UNIONS.get(cast(Hashable, kind), kind)).decode(raw))
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, nested too deeply, or not of that shape
        raise Invalid(f"{kind.__name__}: {error}") from None


def build(kind: type[T], data: Any) -> T:
    """A value of that kind from plain data, every field checked; `Invalid` names the first that is wrong."""
    decoder(cast(Hashable, kind))  # which makes the type known, if no other thread has
    try:
        return msgspec.convert(data, kind)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{kind.__name__}: {error}") from None


_UNIONS: dict[Hashable, Any] = {
    ReportsEntry: ReportEntry | InventoryEntry,
    Command: Union[tuple(_COMMANDS.values())],  # noqa: UP007
    Call: Union[tuple(_CALLS.values())],  # noqa: UP007
}
"""What comes in kinds, and is told apart by its tag."""


def _has_nul(text: bytes) -> bool:
    """PostgreSQL keeps none, and no tool takes one as an argument."""
    return b"\\u0000" in text and _NUL.search(text) is not None


def _plain(data: Any) -> Any:
    if isinstance(data, str):
        return data.replace("\0", "?").encode(errors="replace").decode()
    if isinstance(data, dict):
        return {_plain(name): _plain(value) for name, value in data.items()}
    return [_plain(each) for each in data] if isinstance(data, list | tuple) else data

"""The session of a command: its options, its client, and how an error becomes a text and an exit code.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 not found; 4 not logged in, or not allowed; 5 conflict; 6 not
done in time; 7 unreachable or unavailable. `corral vm exec` ends with the guest's own code; where there is none, 125.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from cli.visible import Sentence

if TYPE_CHECKING:
    from corral import Client
    from corral.errors import CorralError

NO_EXIT_CODE = 125
FORMATS = ("table", "json", "yaml", "name")
F = TypeVar("F", bound=Callable[..., Any])


class Session:
    """One run of a command: the fleet that it speaks to, and how it shows things."""

    def __init__(self, context: str | None, output: str, *, debug: bool = False) -> None:
        self.context, self.output, self.debug = context, output, debug
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """Made when it is first needed: a command's help needs none."""
        if self._client is None:
            from corral import Client

            self._client = Client(context=self.context)
        return self._client

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches what is told beside the answer."""
        return sys.stderr.isatty()

    def tell(self, text: str) -> None:
        """Something for the person, beside the answer."""
        click.echo(text, err=True)

    def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            self._client.transport.close()


def fleet_command(view: F) -> F:
    """A command that speaks to a fleet: it gets a `Session` first, and its errors are sentences."""

    @click.option("--context", metavar="NAME", help="The fleet to use (see `corral context list`).")
    @click.option(
        "-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="Output format."
    )
    @click.option("--debug", is_flag=True, help="With an error, show the request's id and the details.")
    @functools.wraps(view)
    def wrapper(*args: Any, context: str | None, output: str, debug: bool, **options: Any) -> Any:
        session = Session(context, output, debug=debug)
        try:
            with sentences(session):
                return view(session, *args, **options)
        finally:
            session.close()

    return wrapper  # type: ignore[return-value]


@contextmanager
def sentences(session: Session) -> Iterator[None]:
    """Errors of the library end the command with a sentence and a code of their class."""
    from corral.errors import CorralError

    try:
        yield
    except CorralError as error:
        fail(session, error)
    except BrokenPipeError:  # the reader has seen enough, such as `head`
        sys.stderr.close()
        sys.exit(0)


def fail(session: Session, error: CorralError) -> NoReturn:
    """Say what went wrong, and what to do where that is known, and leave."""
    if session.debug:
        request = getattr(error, "request_id", "") or session.client.transport.last_request_id
        session.tell(f"request: {request or '(no answer)'}\ndetails: {getattr(error, 'details', None)}")
    raise Sentence(error.message + _advice(error), exit_code(error))


def exit_code(error: CorralError) -> int:
    """The code of an error's class."""
    from corral import errors

    codes: tuple[tuple[type[CorralError], int], ...] = (
        (errors.NotFound, 3),
        (errors.Unauthenticated, 4),
        (errors.Forbidden, 4),
        (errors.NotConfigured, 4),
        (errors.Conflict, 5),
        (errors.GuestTimeout, 6),
        (errors.WaitTimeout, 6),
        (errors.RateLimited, 7),
        (errors.Unavailable, 7),
        (errors.Unreachable, 7),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), 1)


def _advice(error: CorralError) -> str:
    from corral import errors

    if isinstance(error, errors.Unauthenticated):
        return "\nRun `corral login` to log in again."
    if isinstance(error, errors.Unreachable):
        return "\nIs the fleet up, and the address right? `corral context list` shows it."
    if isinstance(error, errors.WaitTimeout):
        return "\n`corral op list --state running` shows it, `corral op wait ID` goes on waiting."
    if isinstance(error, errors.OperationFailed) and error.retryable:
        return "\nThe same command again may succeed."
    return ""

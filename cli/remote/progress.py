"""Progress for a person who waits: a line on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from cli.remote.session import Session

if TYPE_CHECKING:
    from corral.models import Operation

Tell = Callable[["Operation"], None]
Advance = Callable[[int], None]


def waits(view: Any) -> Any:
    """Options of a command that changes a VM."""
    view = click.option(
        "--wait/--no-wait", default=True, show_default=True, help="Wait until the operation has ended."
    )(view)
    return click.option(
        "--timeout", type=float, metavar="SECONDS", help="Stop waiting after that long; the operation goes on."
    )(view)


def change(
    session: Session, what: str, begin: Callable[..., Operation], *args: Any, wait: bool, **options: Any
) -> Operation:
    """Ask for a change and show how far it is; `what` is said of it when it is done."""
    with operation_line(session, wait=wait) as tell:
        operation = begin(*args, wait=wait, tell=tell, **options)
    if session.output in ("json", "yaml"):
        from cli.remote.output import show_one

        show_one(session, operation, name="id")
    elif session.output == "name":
        click.echo((operation.vm_name or operation.host) if wait else operation.id)
    elif wait:
        session.tell(what)
    else:
        click.echo(operation.id)
    return operation


@contextmanager
def operation_line(session: Session, *, wait: bool = True) -> Iterator[Tell | None]:
    """A line that says which step an operation is at, gone afterwards."""
    if not session.is_terminal or not wait:
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("sending …") as status:

        def tell(operation: Operation) -> None:
            percent = f" {operation.progress.percent} %" if operation.progress and operation.progress.percent else ""
            step = (operation.progress.step if operation.progress else "") or operation.state
            status.update(f"{operation.kind} {operation.vm_name or operation.host}: {step}{percent}")

        yield tell


@contextmanager
def bytes_bar(session: Session, what: str, total: int | None) -> Iterator[Advance]:
    """A bar of bytes; call it with how many came."""
    if not session.is_terminal:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),  # a file may be called as it likes
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.update(task, advance=count)

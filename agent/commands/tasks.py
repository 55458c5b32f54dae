"""The one Celery task of an agent: it lasts as long as its command's work and fails when that fails."""

from __future__ import annotations

from celery import Celery

from agent.broker.transport import TASK
from agent.commands.runner import CommandFailed, Commands
from core.contract.errors import Invalid
from core.contract.messages import Command, Numbered, decode


def register(app: Celery, commands: Commands) -> None:
    """Gives the app its task."""

    @app.task(name=TASK, throws=(CommandFailed, Invalid))  # type: ignore[untyped-decorator]  # celery has no types
    def command(command: str) -> None:
        try:
            read = decode(Command, command)
        except Invalid as error:
            commands.refuse(decode(Numbered, command), error)
            raise
        commands.run(read)

"""Outcomes of commands as reports: journaled where they must be, then given to the sender."""

from __future__ import annotations

import logging
import time

from msgspec import Raw
from msgspec.structs import replace

from agent.commands.vm_locks import RunningOperation
from agent.drivers.registry import Drivers
from agent.host.known import KnownVms
from agent.reports.journal import Journal, JournalEntry
from agent.reports.outbox import Outbox
from core.contract.bounds import NAME, shortened
from core.contract.errors import CorralError
from core.contract.messages import Command, Failure, Report, VmSpec, decode, encode
from core.contract.results import Result
from core.contract.states import Kind, Observed, Phase
from core.contract.vms import Observation, Progress

log = logging.getLogger(__name__)


class Outcomes:
    """The reports of one host's commands."""

    def __init__(self, host: str, drivers: Drivers, journal: Journal, outbox: Outbox, known: KnownVms) -> None:
        self._host, self._drivers, self._journal, self._outbox = host, drivers, journal, outbox
        self._known = known

    def begun(self, work: RunningOperation) -> None:
        """Tells that an operation is under way."""
        report = self._report(work.operation_id, work.attempt, Phase.BEGUN)
        self._outbox.live(work.operation_id, report.phase, encode(report))

    def progress(self, work: RunningOperation, step: str, percent: int | None) -> None:
        """Tells how far it is."""
        report = self._report(work.operation_id, work.attempt, Phase.PROGRESS)
        report = replace(report, progress=Progress(shortened(step, NAME), percent))
        self._outbox.live(work.operation_id, report.phase, encode(report))

    def ended(
        self,
        command: Command,
        work: RunningOperation,
        phase: Phase,
        *,
        result: Result | None = None,
        failure: Failure | None = None,
    ) -> Report:
        """Journals and sends the last report of a command, with the VM as it is now."""
        report = self._report(command.operation_id, work.attempt, phase)
        told = Raw(encode(result or Result()).encode())
        deleted = command.vm if command.kind is Kind.DELETE and phase is Phase.SUCCEEDED else None
        return self._last(command, replace(report, result=told, failure=failure), deleted)

    def given_up(self, command: Command, failure: Failure) -> Report:
        """The same of one that an earlier agent had begun and this one does not go on with."""
        report = self._report(command.operation_id, command.attempt, Phase.FAILED)
        return self._last(command, replace(report, failure=failure), None)

    def _last(self, command: Command, report: Report, deleted: VmSpec | None) -> Report:
        report = replace(report, observation=self._observe(command))
        text = encode(report)
        self._journal.finish(command.operation_id, text, deleted=deleted)
        self._outbox.last(command.operation_id, text)
        if report.observation is not None:
            self._known.note(report.observation)
        return report

    def again(self, entry: JournalEntry) -> Report:
        """Sends the last report of a finished command once more, as the answer to its newest attempt."""
        report = replace(decode(Report, entry.report or ""), attempt=entry.attempt)
        self._outbox.last(entry.operation_id, encode(report))
        return report

    def never_ran(
        self, operation_id: str, phase: Phase = Phase.CANCELLED, *, attempt: int = 0, failure: Failure | None = None
    ) -> bool:
        """Journals and sends that a command not seen yet was cancelled, or refused; False if it has been seen."""
        report = encode(replace(self._report(operation_id, attempt, phase), failure=failure))
        fresh = self._journal.refuse(operation_id, report)
        if fresh:
            self._outbox.last(operation_id, report)
        return fresh

    def _report(self, operation_id: str, attempt: int, phase: Phase) -> Report:
        # The generation is drawn before the VM is looked at: a larger one never stands for an older look.
        return Report(self._host, self._journal.next_generation(), operation_id, attempt, phase, time.time())

    def _observe(self, command: Command) -> Observation | None:
        if self._journal.is_deleted(command.vm):
            return Observation(command.vm.id, Observed.ABSENT)
        try:
            return self._drivers.get(command.vm.hypervisor).observe(command.vm.id)
        except CorralError as error:
            log.warning("%s: can't observe %s: %s", command.operation_id, command.vm.name, error.message)
        except Exception:  # whatever a driver does, the operation must end
            log.exception("%s: observing %s failed unexpectedly", command.operation_id, command.vm.name)
        return None

"""The command runner: carries out each command once, even if it is delivered twice or the agent dies meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from agent.commands import moves
from agent.commands.handlers import CommandContext, perform
from agent.commands.outcomes import Outcomes
from agent.commands.vm_locks import WAITING, AgentEnds, Full, RunningOperation, VmLocks
from agent.drivers.base import Cancelled
from agent.drivers.registry import Drivers
from agent.guest import patience
from agent.host import prometheus
from agent.images.images import HostImages
from agent.media.media import MediaFolders
from agent.moves.arrivals import Arrivals
from agent.reports.failures import failure_of
from agent.reports.journal import Journal, JournalEntry
from core.contract.bounds import shortened
from core.contract.commands import Move
from core.contract.errors import CorralError, DriverFailure, Invalid, NotFound
from core.contract.messages import Command, Failure, Numbered, Report
from core.contract.results import Result
from core.contract.states import Kind, Observed, Phase

log = logging.getLogger(__name__)
PROGRESS_SECONDS = 0.25
CLEANUP_SECONDS = 60.0
_FENCED = Failure("host_fenced", "the host was fenced meanwhile")


class CommandFailed(Exception):
    """A command's failure, with a message for people."""


class Commands:
    """The commands of one host."""

    def __init__(
        self,
        drivers: Drivers,
        journal: Journal,
        vm_locks: VmLocks,
        outcomes: Outcomes,
        media: MediaFolders | None = None,
        images: HostImages | None = None,
        arrivals: Arrivals | None = None,
    ) -> None:
        self._drivers, self._journal, self._vm_locks, self._outcomes = drivers, journal, vm_locks, outcomes
        self._media, self._images, self._arrivals = media or MediaFolders([]), images, arrivals

    def run(self, command: Command) -> None:
        """Does a command or answers it from the journal; `CommandFailed` unless it succeeded, now or earlier."""
        self._refuse_older_attempt(command)
        try:
            work, ours = self._vm_locks.register(command)
        except Full as why:
            log.info("%s: %s of %s is left for later: %s", command.operation_id, command.kind, command.vm.name, why)
            raise CommandFailed(f"{why}; it is sent again") from None
        if ours:
            self._carry_out(command, work)
        else:
            self._journal.begin(command)
            self._outcomes.begun(work)

    def resume(self, concurrency: int) -> None:
        """Takes up, in threads of its own, what an earlier agent of this host had begun."""
        pool = ThreadPoolExecutor(concurrency + WAITING, thread_name_prefix="resumed")
        for command in self._journal.unfinished():
            log.info("%s: resuming %s of %s", command.operation_id, command.kind, command.vm.name)
            work, _ = self._vm_locks.register(command, resumed=True)
            pool.submit(self._carry_out_resumed, command, work)
        pool.shutdown(wait=False)

    def give_up(self) -> None:
        """Reports as failed what an earlier agent of this host had begun, and does not go on with it."""
        for command in self._journal.unfinished():
            log.warning("%s: %s of %s is given up", command.operation_id, command.kind, command.vm.name)
            self._outcomes.given_up(command, _FENCED)

    def cancel(self, operation_id: str) -> str:
        """Stops an operation: "cancelling" if it is under way, "cancelled" if it never ran, "finished" if it has."""
        if self._vm_locks.cancel(operation_id):
            return "cancelling"
        if self._outcomes.never_ran(operation_id):
            return "cancelled"
        if self._vm_locks.cancel(operation_id):  # claimed between the first look and the second
            return "cancelling"
        entry = self._journal.known(operation_id)
        if entry is not None and entry.report is not None:
            self._outcomes.again(entry)
        return "finished"

    def refuse(self, unread: Numbered, why: Invalid) -> None:
        """Reports a command as failed that this agent can't read, unless an attempt that it could read came before."""
        refusal = Failure(
            "invalid_request", shortened(f"the agent of the VM's host can't read the command: {why.message}")
        )
        log.warning("%s: refused: %s", unread.operation_id, refusal.message)
        self._outcomes.never_ran(unread.operation_id, Phase.FAILED, attempt=unread.attempt, failure=refusal)

    def report_again(self, operation_id: str) -> str:
        """Sends the last report of an operation again if it has finished; "finished", "running" or "unknown"."""
        entry = self._journal.known(operation_id)
        if entry is None:
            return "unknown"
        if entry.report is None:
            return "running"
        self._outcomes.again(entry)
        return "finished"

    def _refuse_older_attempt(self, command: Command) -> None:
        known = self._journal.known(command.operation_id)
        if known is not None and command.attempt < known.attempt:
            log.warning("%s: attempt %d refused after %d", command.operation_id, command.attempt, known.attempt)
            raise CommandFailed(f"attempt {command.attempt} is older than attempt {known.attempt}")

    def _carry_out_resumed(self, command: Command, work: RunningOperation) -> None:
        try:
            self._carry_out(command, work)
        except CommandFailed:
            return  # reported and logged, and there is no task to fail

    def _carry_out(self, command: Command, work: RunningOperation) -> None:
        began = time.monotonic()
        try:
            entry = self._journal.begin(command)
            report = self._outcomes.again(entry) if entry.report is not None else self._attempt(command, work, entry)
        except AgentEnds:
            raise CommandFailed("the agent ends; its next start resumes it") from None
        finally:
            self._vm_locks.release(work)
            self._remove_remains(command, work)
        problem = f": {report.failure.message}" if report.failure else ""
        seconds = time.monotonic() - began
        prometheus.COMMANDS.labels(command.kind.value, report.phase).inc()
        prometheus.COMMAND_SECONDS.labels(command.kind.value).observe(seconds)
        log.info("%s of %s %s in %.3f s%s", command.kind, command.vm.name, report.phase, seconds, problem)
        if report.phase is not Phase.SUCCEEDED:
            raise CommandFailed(f"{report.phase}{problem}")

    def _attempt(self, command: Command, work: RunningOperation, entry: JournalEntry) -> Report:
        try:
            with self._keeping_image(command), self._arriving(command):
                result = self._perform(command, work, entry)
        except Cancelled:
            return self._outcomes.ended(command, work, Phase.CANCELLED)
        except CorralError as error:
            return self._outcomes.ended(command, work, Phase.FAILED, failure=failure_of(error))
        except AgentEnds:
            raise
        except Exception:  # the outermost handler of a command: the operation must end, and tell nothing it shouldn't
            log.exception("%s: %s of %s failed unexpectedly", command.operation_id, command.kind, command.vm.name)
            failure = Failure("internal_error", "the agent failed unexpectedly; its log says why")
            return self._outcomes.ended(command, work, Phase.FAILED, failure=failure)
        if work.overtaken:
            return self._outcomes.ended(command, work, Phase.CANCELLED)
        return self._outcomes.ended(command, work, Phase.SUCCEEDED, result=result)

    def _perform(self, command: Command, work: RunningOperation, entry: JournalEntry) -> Result:
        _refuse_late(command)
        self._get_image(command, work)
        self._get_files(command, work)
        self._vm_locks.acquire(work, command.deadline_at)
        if command.kind is not Kind.DELETE and self._journal.is_deleted(command.vm):
            raise NotFound(f"VM '{command.vm.name}' was deleted", code="vm_not_found")
        self._outcomes.begun(work)
        driver = self._drivers.get(command.vm.hypervisor)
        mark = self._marker(command)
        with patience.ends_in(command.deadline_at - time.time()):
            return perform(
                CommandContext(driver, command, self._progress_of(work), entry.step, mark, self._media, self._arrivals)
            )

    def _keeping_image(self, command: Command) -> AbstractContextManager[None]:
        """Nothing removes what a new VM is just being made of."""
        if not _makes(command) or command.vm.image is None or self._images is None:
            return nullcontext()
        return self._images.pulls.held(command.vm.image)

    def _get_image(self, command: Command, work: RunningOperation) -> None:
        """Before a new VM has a place here, as an image may take its time, and others go on meanwhile."""
        image, images = command.vm.image, self._images
        if not _makes(command) or image is None or images is None or not images.lacks(image):
            return
        if self._drivers.get(command.vm.hypervisor).observe(command.vm.id).state is not Observed.ABSENT:
            return  # it was made before the agent died
        self._outcomes.begun(work)
        # A VM that moves brings its image along where it can't be had otherwise.
        with suppress(*([CorralError] if command.kind is Kind.MOVE else [])):
            images.obtain(image, self._news_of(work), command.deadline_at - time.time())

    def _get_files(self, command: Command, work: RunningOperation) -> None:
        """The same of a VM that comes from another host."""
        files = command.params.files if isinstance(command.params, Move) else None
        if self._journal.is_deleted(command.vm):
            return  # as is told once it is its turn
        if (
            files is None
            or self._arrivals is None
            or moves.is_here(self._drivers.get(command.vm.hypervisor), command.vm)
        ):
            return
        self._outcomes.begun(work)
        self._arrivals.fetch(command, files, self._news_of(work), command.deadline_at - time.time())

    @contextmanager
    def _arriving(self, command: Command) -> Iterator[None]:
        """Of a VM that does not come after all nothing stays; what an agent that ends has got, its next start uses."""
        try:
            yield
        except (Cancelled, CorralError):
            if isinstance(command.params, Move) and command.params.files is not None and self._arrivals is not None:
                self._arrivals.clear(command.vm.id)
            raise

    def _news_of(self, work: RunningOperation) -> Callable[[str, int | None], None]:
        """For who waits without a place: each step once."""
        told: tuple[str, int | None] = ("", None)

        def progress(step: str, percent: int | None) -> None:
            nonlocal told
            self._vm_locks.check(work)
            if (step, percent) != told:
                told = (step, percent)
                self._outcomes.progress(work, step, percent)

        return progress

    def _marker(self, command: Command) -> Callable[[str], None]:
        return lambda step: self._journal.mark(command.operation_id, step)

    def _progress_of(self, work: RunningOperation) -> Callable[[str, int | None], None]:
        told_at = 0.0

        def progress(step: str, percent: int | None) -> None:
            nonlocal told_at
            work.check()
            if time.monotonic() - told_at >= PROGRESS_SECONDS:
                told_at = time.monotonic()
                self._outcomes.progress(work, step, percent)

        return progress

    def _remove_remains(self, command: Command, work: RunningOperation) -> None:
        """A verb that a delete did not wait for may have made something after it."""
        if work.overtaken and self._journal.is_deleted(command.vm):
            try:
                self._drivers.get(command.vm.hypervisor).delete(command.vm, CLEANUP_SECONDS)
            except CorralError as error:
                log.warning("files of the deleted VM %s can't be removed: %s", command.vm.id, error.message)


def _makes(command: Command) -> bool:
    """Whether it is about a VM that is to be here."""
    comes = isinstance(command.params, Move) and command.params.files is not None
    return command.kind is Kind.CREATE or comes


def _refuse_late(command: Command) -> None:
    if time.time() >= command.deadline_at:
        late = DriverFailure(
            f"{command.kind} of VM '{command.vm.name}' reached its host after its deadline", code="deadline_exceeded"
        )
        late.retryable = True
        raise late

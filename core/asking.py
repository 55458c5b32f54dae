"""One call to a host's agent: sent, then answered, late or abandoned."""

from __future__ import annotations

import time
import uuid

from core import sealing
from core.contract.errors import NotSent, Unavailable
from core.contract.failures import result_of
from core.contract.messages import JSON, Reply, VmSpec
from core.contract.messages import call as new_call
from core.dispatch import Dispatch

_ABANDON_SECONDS = 30.0


class PendingCall:
    """A call that is answered on the channel `reply_to`, within `timeout` seconds from now."""

    def __init__(
        self,
        dispatch: Dispatch,
        host: str,
        verb: str,
        vm: VmSpec | None,
        params: JSON,
        *,
        timeout: float,
        reply_to: str,
    ) -> None:
        self._dispatch, self._host, self._timeout = dispatch, host, timeout
        self._call = new_call(uuid.uuid4().hex, verb, reply_to, time.time() + timeout, vm, params, sealing.new_key())

    @property
    def id(self) -> str:
        """The call's id, which its reply has."""
        return self._call.id

    @property
    def left(self) -> float:
        """Seconds until its deadline; negative once that has passed."""
        return self._call.deadline_at - time.time()

    def send(self) -> None:
        """Put it on the host's list; `NotSent` when Redis did not take it."""
        if not self._dispatch.call(self._host, self._call):
            raise NotSent(
                f"the message broker {self._dispatch.problem}: the host was not asked; try again in a few seconds"
            )

    def abandon(self) -> None:
        """Tell the host that nobody waits for the reply any more."""
        deadline_at, params = time.time() + _ABANDON_SECONDS, {"call_id": self.id}
        call = new_call(uuid.uuid4().hex, "abandon", self._call.reply_to, deadline_at, None, params)
        self._dispatch.call(self._host, call)

    def result(self, reply: Reply) -> JSON:
        """What its reply says; raises the error that the reply tells of."""
        return result_of(self._dispatch.opened(self._host, reply, self._call.reply_key), self._call.verb)

    def unanswered(self) -> Unavailable:
        """The error of a host that has not answered in time."""
        return Unavailable(f"host '{self._host}' did not answer within {self._timeout:g} s", host=self._host)

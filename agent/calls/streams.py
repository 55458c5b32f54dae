"""The agent's end of streams: one thread serves each, and ends with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import redis

from agent.reports.failures import failure_of
from core.contract.errors import CorralError, DriverFailure
from core.contract.messages import Failure
from core.contract.shares import Shares
from core.pubsub import PubSubChannel
from core.streams import Stream

log = logging.getLogger(__name__)
AT_ONCE, EACH = 64, 32


class AgentStreams:
    """The streams of one host, of which so many may be open at once, of all and of one owner."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._shares = Shares("streams of this host", AT_ONCE, EACH)

    def serve(self, stream_id: str, owner: str, work: Callable[[Stream], None]) -> None:
        """Opens the stream of that id and has `work` done on it; returns as soon as it is open."""
        self._shares.take(owner)
        try:
            stream = Stream(PubSubChannel(self._client, stream_id, end="agent", other="api"), _error_of)
        except BaseException:
            self._shares.leave(owner)
            raise
        done = [stream_id, owner, stream, work]
        threading.Thread(target=self._work, args=done, name="stream-work", daemon=True).start()

    def _work(self, stream_id: str, owner: str, stream: Stream, work: Callable[[Stream], None]) -> None:
        try:
            stream.greet()
            work(stream)
        except CorralError as error:
            log.info("stream %s: %s", stream_id, error.message[:300])
            stream.fail(failure_of(error))
        except Exception:  # the outermost handler of a stream: whoever waits is told
            log.exception("stream %s failed unexpectedly", stream_id)
            stream.fail(Failure("internal_error", "the agent failed unexpectedly; its log says why"))
        finally:
            stream.close()
            self._shares.leave(owner)


def _error_of(failure: Failure) -> CorralError:
    """What the API's end says went wrong there; the work on the host was not at fault."""
    return DriverFailure(f"the other end of the stream: {failure.message}", code=failure.code)

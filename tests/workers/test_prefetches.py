"""Prefetches of images: the record goes on with them, whatever hosts answer and whenever."""

from __future__ import annotations

import pytest

from core.contract import channels
from core.contract.hosts import HostFacts
from core.contract.images import ImageFile, ImageManifest
from core.contract.prefetching import PullImageReply
from core.models import Operation
from core.models.base import now
from core.services import prefetching
from core.services.prefetching import PrefetchRequest
from tests.workers.fencing import ADMIN, sweep
from tests.workers.rig import Rig
from workers import prefetching as asking

IMAGE = ImageManifest("web", "linux", "raw", ImageFile("disk.raw", "a" * 64, 1), 1)


@pytest.fixture
def operation(rig: Rig) -> str:
    """One of host-a's."""
    rig.tell(vcpus=16, facts=HostFacts(pulls_images=True))
    with rig.workers.context.transaction() as session:
        begun = prefetching.begin(session, ADMIN, IMAGE, PrefetchRequest(hosts=["host-a"]))
        return begun.operations[0].id


def state(rig: Rig, operation_id: str) -> tuple[str, str | None]:
    with rig.workers.context.transaction() as session:
        found = session.get_one(Operation, operation_id)
        return found.state, (found.error or {}).get("code")


def calls(rig: Rig) -> int:
    redis = rig.workers.context.dispatch.redis
    return int(redis.llen(channels.calls("host-a")))  # type: ignore[arg-type]


def test_a_round_of_sweeps_waits_for_no_host(rig: Rig, operation: str) -> None:
    sweep(rig)
    assert calls(rig) == 0
    assert asking.ask_hosts(rig.workers.context) == "1 hosts"
    assert (calls(rig) > 0, state(rig, operation)) == (True, ("running", None))
    assert asking.ask_hosts(rig.workers.context) == "nothing to do", "it is left alone for a while"


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (PullImageReply(here=True), ("succeeded", None)),
        (PullImageReply(here=False, error_code="no_space", error="there is no room"), ("failed", "no_space")),
        (PullImageReply(here=False, step="pulling", percent=40), ("running", None)),
    ],
)
def test_what_a_host_answers(rig: Rig, operation: str, answer: PullImageReply, ends: tuple[str, str | None]) -> None:
    with rig.workers.context.transaction() as session:
        prefetching.note(session, operation, answer)
    assert state(rig, operation) == ends


def test_it_ends_at_its_deadline(rig: Rig, operation: str) -> None:
    with rig.workers.context.transaction() as session:
        session.get_one(Operation, operation).deadline_at = now()
    assert asking.ask_hosts(rig.workers.context) == "nothing to do"
    assert state(rig, operation) == ("failed", "deadline_exceeded")

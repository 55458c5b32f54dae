"""The control plane's tasks. None takes an argument: each re-reads the world."""

from __future__ import annotations

from core.contract.errors import Unavailable
from core.dispatch import PREFETCH_TASK, ROTATION_TASK, SCAN_TASK, WEBHOOK_TASK
from workers import context, prefetching, rotating, scanning, sweeping, webhooks
from workers.app import app
from workers.sweeping import SweepFailed
from workers.transport import SWEEP_TASK


# Every two seconds one: without events, so that Flower shows people's tasks and not these.
@app.task(name=SWEEP_TASK, throws=(Unavailable, SweepFailed), send_events=False)  # type: ignore[untyped-decorator]
def sweep() -> str:
    """One round of all sweeps; nothing while another worker is at it."""
    return sweeping.sweep(context.get())


@app.task(name=SCAN_TASK, throws=(Unavailable,))  # type: ignore[untyped-decorator]
def scan() -> str:
    """Scan the VM that waits longest, and send for the next."""
    current = context.get()
    done = scanning.scan_next(current)
    if done:
        current.dispatch.wake(SCAN_TASK)
    return done or "nothing to do"


@app.task(name=ROTATION_TASK, throws=(Unavailable,), send_events=False)  # type: ignore[untyped-decorator]
def rotate() -> str:
    """Go on with the rotations of hosts' secrets."""
    return rotating.rotate(context.get())


@app.task(name=PREFETCH_TASK, throws=(Unavailable,), send_events=False)  # type: ignore[untyped-decorator]
def prefetch() -> str:
    """Ask hosts how far their prefetches of images are."""
    return prefetching.ask_hosts(context.get())


@app.task(name=WEBHOOK_TASK, throws=(Unavailable,), send_events=False)  # type: ignore[untyped-decorator]
def deliver() -> str:
    """Deliver to the webhook that was tried longest ago, and send for the next."""
    current = context.get()
    done = webhooks.deliver_next(current)
    if done:
        current.dispatch.wake(WEBHOOK_TASK)
    return done or "nothing to do"

"""Observes the VMs of each driver separately: a driver that hangs or fails does not affect the others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from agent.drivers.base import Driver
from core.contract.errors import CorralError

log = logging.getLogger(__name__)
PATIENCE_SECONDS = 30.0

T = TypeVar("T")


class _Question(Generic[T]):
    """One driver's look, in a thread that nobody waits for at the agent's end."""

    def __init__(self, name: str, ask: Callable[[], T]) -> None:
        self.began = time.monotonic()
        self.answer: T | None = None
        self.problem = ""
        self._ask = ask
        self.thread = threading.Thread(target=self._run, name=f"look {name}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.answer = self._ask()
        except CorralError as error:
            self.problem = error.message
        except Exception:  # a driver's fault is its own: the others are looked at all the same
            log.exception("%s failed", self.thread.name)
            self.problem = "the agent failed unexpectedly; its log says why"


class Looks(Generic[T]):
    """Puts one question to drivers again and again. One that has not answered yet is not asked anew, nor waited for."""

    def __init__(self, ask: Callable[[Driver], T], patience: float = PATIENCE_SECONDS) -> None:
        self._ask, self._patience = ask, patience
        self._open: dict[str, _Question[T]] = {}

    def at(self, drivers: Iterable[Driver]) -> tuple[dict[str, T], dict[str, str]]:
        """Each driver's answer, and of those without one why not. A late answer is thrown away."""
        asked, problems = {}, {}
        for driver in drivers:
            late = self._open.get(driver.name)
            if late is not None and late.thread.is_alive():
                problems[driver.name] = _silent(late)
            else:
                asked[driver.name] = self._open[driver.name] = _Question(driver.name, _bound(self._ask, driver))
        deadline = time.monotonic() + self._patience
        answers = {}
        for name, question in asked.items():
            question.thread.join(max(0.0, deadline - time.monotonic()))
            if question.thread.is_alive():
                problems[name] = _silent(question)
            elif question.answer is None:
                problems[name] = question.problem
            else:
                answers[name] = question.answer
        return answers, problems


def _bound(ask: Callable[[Driver], T], driver: Driver) -> Callable[[], T]:
    return lambda: ask(driver)


def _silent(question: _Question[T]) -> str:
    return f"has not answered for {time.monotonic() - question.began:.0f} s; the states of its VMs may be out of date"

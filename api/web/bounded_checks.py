"""Checks of PostgreSQL and Redis that end within a second, with or without an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import redis

from core.contract.errors import CorralError, Unavailable

T = TypeVar("T")
U = TypeVar("U")
PATIENCE_SECONDS = 0.6
# Questions that hang keep their thread until their own deadline; then further ones are not begun, and fail. Each server
# has threads of its own, so that one which hangs does not make the other look ill.
_database = ThreadPoolExecutor(4, thread_name_prefix="check-database")
_broker = ThreadPoolExecutor(4, thread_name_prefix="check-redis")
_disks = ThreadPoolExecutor(1, thread_name_prefix="check-disks")


class Once:
    """Many may ask for the same at once: one looks, and all have its answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looking: Future[Any] | None = None

    def ask(self, look: Callable[[], T]) -> T:
        """What `look`, or whoever is looking already, finds."""
        with self._lock:
            begun = self._looking
            looking: Future[T] = begun or Future()
            self._looking = looking
        if begun is None:
            try:
                looking.set_result(look())
            except BaseException as error:
                looking.set_exception(error)
                raise
            finally:
                self._looking = None
        return looking.result()


def ask_database(question: Callable[[], T]) -> Future[T]:
    """Begin to ask; the question makes its own transaction."""
    return _database.submit(question)


def ask_redis(question: Callable[[], T]) -> Future[T]:
    """Begin to ask."""
    return _broker.submit(question)


def ask_disks(question: Callable[[], T]) -> Future[T]:
    """Begin to ask."""
    return _disks.submit(question)


def answered(*questions: Future[Any]) -> None:
    """Wait until all are answered, or patience has run out."""
    wait(questions, PATIENCE_SECONDS)


def answer(question: Future[T]) -> T:
    """The answer, or the question's own error; `Unavailable` when there is none by now."""
    if not question.done():
        question.cancel()
        raise Unavailable("the database does not answer at the moment; try again in a few seconds")
    return question.result()


def answer_or(question: Future[T], otherwise: U) -> T | U:
    """The answer if there is one by now."""
    if not question.done():
        question.cancel()
        return otherwise
    failed = isinstance(question.exception(), Unavailable | redis.RedisError)
    return otherwise if failed else question.result()


def problem_of(question: Future[Any]) -> str:
    """Why there is no answer, as far as that is known; empty where there is one."""
    if not question.done() or question.cancelled():
        return "does not answer"
    error = question.exception()
    return error.message if isinstance(error, CorralError) else ""

"""Pauses between tries."""

from __future__ import annotations

from core.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_begin_anew() -> None:
    backoff = Backoff(0.1, 0.5)
    assert [backoff.pause() for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    backoff.reset()
    assert backoff.pause() == 0.1


def test_so_much_of_each_is_left_to_chance_and_no_more() -> None:
    pauses = [Backoff(1.0, 9.0, jitter=0.5).pause() for _ in range(200)]
    assert all(0.5 <= pause <= 1.0 for pause in pauses)
    assert len(set(pauses)) > 1

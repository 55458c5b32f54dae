"""A guest agent's answer is read as that to its question, and an error of its as what it says."""

from __future__ import annotations

import pytest

from agent.guest import replies
from agent.guest.answers import AgentForbids, AgentRefused


def test_an_answer_is_of_its_questions_type() -> None:
    assert replies.read("guest-file-open", b'{"return": 1000}') == 1000
    assert replies.read("guest-exec", b'{"return": {"pid": 7}}').pid == 7
    assert replies.read("guest-ping", b'{"return": {}}') is None


def test_a_call_that_the_agents_settings_forbid_names_the_setting() -> None:
    with pytest.raises(AgentForbids, match=r"guest-file-open.*block-rpcs") as failure:
        replies.read("guest-file-open", b'{"error": {"class": "CommandNotFound", "desc": "has been disabled"}}')
    assert failure.value.details == {"call": "guest-file-open", "setting": "block-rpcs"}


def test_an_error_is_told_in_the_agents_words() -> None:
    with pytest.raises(AgentRefused, match="refused 'guest-file-open': failed to open file"):
        replies.read("guest-file-open", b'{"error": {"class": "GenericError", "desc": "failed to open file"}}')


@pytest.mark.parametrize("error", [b"5", b"[]", b'{"class": 5}', b'{"desc": {}}', b'"x"'])
def test_an_error_of_no_known_shape_is_one_without_a_reason(error: bytes) -> None:
    with pytest.raises(AgentRefused, match="no reason given"):
        replies.read("guest-exec", b'{"error": ' + error + b"}")


@pytest.mark.parametrize("line", [b"", b"[]", b"{", b'{"return": "x"}', b'{"return": null}'])
def test_what_is_no_answer_to_the_question_is_the_guests_fault(line: bytes) -> None:
    with pytest.raises(AgentRefused, match="can't be understood"):
        replies.read("guest-file-open", line)

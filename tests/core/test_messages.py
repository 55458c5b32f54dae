"""Whatever text arrives, `decode` gives a message or `Invalid`; what `encode` gives can be decoded."""

from __future__ import annotations

import sys

import pytest

from core.contract.errors import Invalid
from core.contract.hosts import Heartbeat, Inventory
from core.contract.messages import Failure, Report, decode, encode
from core.contract.states import Observed
from core.contract.vms import Observation, VmUsage

BEAT = '{"host":"h","boot_id":"b","at":1.5%s}'
BAD_TEXTS: dict[str, str | bytes] = {
    "nothing": "",
    "blank": " ",
    "no JSON": "{",
    "two": "{}{}",
    "nested arrays": "[" * 100_000,
    "nested objects": '{"host":' * 100_000,
    "nested in a field that nobody knows": BEAT % (',"new":' + "[" * 100_000),
    "not UTF-8": b'{"host":"\xff","boot_id":"b","at":1}',
    "UTF-16": (BEAT % "").encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + (BEAT % "").encode(),
    "a NUL": BEAT.replace("h", "\\u0000", 1) % "",
    "a NUL behind a backslash": BEAT.replace('"h"', '"\\\\\\u0000"') % "",
    "half a surrogate pair": BEAT.replace('"h"', '"\\ud800"') % "",
    "half a surrogate pair, unescaped": BEAT.replace('"h"', '"\ud800"') % "",
    "not a number": BEAT.replace("1.5", "NaN") % "",
    "infinity": BEAT.replace("1.5", "1e999") % "",
    "a number as text": BEAT.replace("1.5", '"1.5"') % "",
    "null": "null",
    "a number": "1",
    "a list": "[]",
    "text": '"text"',
    "a field is missing": '{"host":"h","boot_id":"b"}',
    "a field is null": '{"host":null,"boot_id":"b","at":1}',
    "a field is an object": '{"host":{},"boot_id":"b","at":1}',
}


@pytest.mark.parametrize("name", BAD_TEXTS)
@pytest.mark.parametrize("kind", [Heartbeat, Report, Inventory, VmUsage])
def test_a_text_that_is_no_message_is_invalid(kind: type, name: str) -> None:
    with pytest.raises(Invalid, match=kind.__name__):
        decode(kind, BAD_TEXTS[name])


def test_a_number_of_many_digits_is_invalid_where_it_ends_in_a_column() -> None:
    assert sys.get_int_max_str_digits() > 0
    with pytest.raises(Invalid):
        decode(Heartbeat, BEAT.replace("1.5", "9" * 5000) % "")


def test_a_field_of_a_newer_release_is_passed_over() -> None:
    assert decode(Heartbeat, BEAT % ',"mood":{"of":["the","day"]}') == Heartbeat("h", "b", 1.5)


def test_what_only_looks_like_a_nul_is_none() -> None:
    said = Heartbeat("printf '\\u0000' \\\\u0000", "b", 1.0)
    assert decode(Heartbeat, encode(said)) == said


def test_what_is_said_can_be_read() -> None:
    failure = Failure("operation_failed", "no file 'a\udcffb\0c'")
    assert decode(Failure, encode(failure)).message == "no file 'a?b?c'"
    seen = Observation("vm", Observed.CRASHED, reason="\0\ud800")
    assert decode(Observation, encode(seen)).reason == "??"

"""What tools/recordings writes of a terminal."""

from __future__ import annotations

import json
import os
import re

from tools.recordings.__main__ import HEIGHT, WIDTH, TerminalRecording


def test_what_is_typed_and_seen_is_recorded() -> None:
    recording = TerminalRecording({"PATH": os.environ["PATH"]})
    recording.type("echo $((40 + 2))")
    recording.end()
    head, *events = [json.loads(line) for line in recording.cast().splitlines()]
    assert head | {"version": 2, "width": WIDTH, "height": HEIGHT} == head
    shown = re.sub(r"\x1b\[[?0-9]*[a-zA-Z]", "", "".join(each for _, _, each in events))
    assert shown.replace("\r", "").splitlines()[:2] == ["$ echo $((40 + 2))", "42"]
    times = [at for at, _, _ in events]
    assert times == sorted(times)

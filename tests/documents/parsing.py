"""Reads the examples out of the two API documents that Corral implements: requests, answers, errors and messages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

# "#### POST /vms" in one document, a block that holds "POST /vms" in the other.
_ENDPOINT = re.compile(r"(?:#### )?(GET|POST|PUT|DELETE|WS) (/\S+)")
_ERROR = re.compile(r"### (\d{3}) ")
_LABEL = re.compile(r"\*\*(Request Body|Response|Messages)[^*]*?(?:\((\d{3})\))?:\*\*")
_BLOCK = re.compile(r"```(\w*)")


@dataclass(frozen=True)
class Example:
    """One block of JSON. `of`: "POST /vms", "WS /ws" or "error"; `part`: request, response or message."""

    of: str
    part: str
    status: int | None
    body: Any


def examples(document: str) -> list[Example]:
    """Every example of a document, in its order."""
    found: list[Example] = []
    of, part, status = "", "", None
    lines = iter(document.splitlines())
    for line in lines:
        if block := _BLOCK.match(line):
            text = "\n".join(iter(lambda: next(lines), "```"))
            if block[1] == "http" and (endpoint := _ENDPOINT.match(text)):
                of, part = f"{endpoint[1]} {endpoint[2]}", ""
            elif block[1] == "json" and of and part:
                found.append(Example(of, part, status, json.loads(text)))
                part = "" if part != "message" else part
        elif endpoint := _ENDPOINT.match(line):
            of, part = f"{endpoint[1]} {endpoint[2]}", ""
        elif error := _ERROR.match(line):
            of, part, status = "error", "response", int(error[1])
        elif "rror responses follow this format" in line:
            of, part, status = "error", "response", None
        elif label := _LABEL.match(line):
            part = {"Request Body": "request", "Response": "response", "Messages": "message"}[label[1]]
            status = int(label[2]) if label[2] else None
    return found

"""Texts for guests: one rule and one limit for the API, its document and every driver.

A guest agent is spoken to in JSON, and QEMU's parser takes less than JSON does: no half of a surrogate pair, and none
of Unicode's 66 noncharacters (its `is_valid_codepoint`). No process can be given a zero byte.
"""

from __future__ import annotations

COMMAND_BYTES = 100_000  # Linux takes 128 KiB in one argument; around a command goes a little of ours
VALUE_BYTES = 32_768  # of a variable, which has a name as well and is one argument, too
PATH_BYTES = 4095


def unsendable(text: str) -> str | None:
    """The first character of the text that can't be sent to a guest, as U+XXXX; None when there is none."""
    if text.isascii():
        return "U+0000" if "\0" in text else None
    return next((f"U+{ord(letter):04X}" for letter in text if not _is_valid(ord(letter))), None)


def too_long(text: str, most_bytes: int) -> bool:
    """Whether it has more bytes than that as UTF-8."""
    return len(text) > most_bytes or len(text.encode(errors="surrogatepass")) > most_bytes


def _is_valid(point: int) -> bool:
    return point != 0 and not 0xD800 <= point <= 0xDFFF and not 0xFDD0 <= point <= 0xFDEF and point & 0xFFFE != 0xFFFE

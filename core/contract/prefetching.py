"""What a host is asked and answers about an image that it is to have before a VM needs it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from core.contract.bounds import Line, Name, Percent

Digest = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]


class PullImage(Struct, frozen=True):
    """Which image the host is to have, and for how many seconds from now that holds unless it is asked again."""

    name: Name
    digest: Digest
    seconds: Annotated[float, Meta(ge=0, le=3600)]


class PullImageReply(Struct, frozen=True):
    """Whether the image is on the host; else how far its pull is, or the error that has ended it."""

    here: bool
    step: Line = ""
    percent: Percent | None = None
    error_code: Name = ""
    error: Line = ""

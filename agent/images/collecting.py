"""Removal of pulled images that no VM uses: after a time, and sooner when the disk is nearly full.

An image that a VM or its snapshots rest on has files with more links than one, and stays; so does what is on its way or
what a new VM is just being made of.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass

from agent.images.contents import ImageContents
from core.contract.images import ImageManifest

log = logging.getLogger(__name__)

_DAY = 86_400.0
REMAINS_SECONDS = _DAY  # for which what was begun and not finished is kept


@dataclass(frozen=True)
class Rules:
    """For how many days an unused image is kept (0: for ever), and what is to be free for more to be kept at all."""

    keep_days: int = 0
    free_bytes: int = 0


def collect(
    contents: ImageContents, rules: Rules, held: Collection[str], coming: Collection[str], more: int = 0
) -> int:
    """Removes what is to go; how many images. The caller sees to it that nothing else is begun meanwhile.

    `held`: the digests of images in use, `coming`: the SHA-256 of files on their way. `more`: bytes that are to be free
    beside those of the rules.
    """
    now, gone = time.time(), 0
    unused = [(contents.used_at(each), each) for each in contents.digests() if each not in held]
    for used_at, digest in sorted(unused):
        old = rules.keep_days and now - used_at > rules.keep_days * _DAY
        full = contents.free_bytes() < rules.free_bytes + more
        manifest = contents.get(digest)
        if manifest is None or ((old or full) and not _rested_on(contents, manifest)):
            contents.remove(digest, keep=coming)
            log.info("removed image %s, unused since %s", digest, time.strftime("%F %T", time.localtime(used_at)))
            gone += 1
    contents.tidy(now - REMAINS_SECONDS, keep=coming)
    return gone


def _rested_on(contents: ImageContents, manifest: ImageManifest) -> bool:
    """Whether a VM has a link to one of its files."""
    return any(contents.blob(file).stat().st_nlink > 1 for file in manifest.files)

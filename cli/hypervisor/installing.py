"""Installs a program once it is complete and verified; an interrupted download resumes."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import requests

from core.contract.errors import CorralError, Invalid, Unavailable

BLOCK_BYTES = 64 << 10  # what is lost at most of what came before a connection broke
SECONDS = 60.0
DRAFT = ".part"

Say = Callable[[str], None]


class WrongSum(CorralError):
    """A file that is not the one that was meant."""

    code = "checksum_mismatch"


def install(source: str | Path, sha256: str, to: Path, say: Say) -> None:
    """From an address or a file; nothing is put in place unless its sum is that one."""
    if not sha256:
        raise Invalid(
            "the SHA-256 of this release is not known here: get it from the project's release page, and give it with "
            "--sha256"
        )
    if not os.access(to.parent, os.W_OK):
        raise Invalid(f"{to.parent} can't be written to: run as root, or choose another folder with --to")
    draft = to.with_name(f".{to.name}{DRAFT}")
    if isinstance(source, Path):
        shutil.copyfile(source, draft)
    else:
        _fetch(source, draft, say)
    found = _sum(draft)
    if found != sha256.lower():
        draft.unlink()
        raise WrongSum(f"{source} has the SHA-256 {found}, expected {sha256.lower()}: nothing was installed")
    draft.chmod(0o755)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(to)
    say(f"installed {to}, verified by its SHA-256")


def _fetch(url: str, draft: Path, say: Say) -> None:
    """All of it, beginning after what is there."""
    there = draft.stat().st_size if draft.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=SECONDS) as answer:
            if there and answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # all of it is there, as the sum will tell
            if not answer.ok:
                raise Unavailable(f"{url} can't be fetched: {answer.status_code} {answer.reason}")
            goes_on = answer.status_code == HTTPStatus.PARTIAL_CONTENT
            say(f"{'going on with' if goes_on else 'fetching'} {url}")
            with draft.open("ab" if goes_on else "wb") as file:
                for block in answer.iter_content(BLOCK_BYTES):
                    file.write(block)
    except requests.RequestException as error:
        raise _broken(url, error) from None


def _broken(url: str, why: object) -> Unavailable:
    return Unavailable(f"{url} can't be fetched ({why}): run this again to resume the download")


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

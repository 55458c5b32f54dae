"""Adds an uploaded image to the store, in a process of its own: it hashes gigabytes, and the API must not wait.

(gevent's event loop would stand still; and in one of its threads no other program, such as qemu-img, can be run.)
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from core import images
from core.contract import errors
from core.contract.errors import CorralError, Unavailable
from core.contract.images import ImageManifest
from core.contract.messages import JSON, build

_LIMIT_SECONDS = 1800


def add(store: Path, name: str, disk: Path, **options: object) -> ImageManifest:
    """As `core.images.add`, with the same errors."""
    asked = {"store": str(store), "name": name, "disk": str(disk)} | options
    command = [sys.executable, "-m", __name__]
    text = json.dumps(asked, default=str)
    try:
        done = subprocess.run(
            command, input=text, stdout=subprocess.PIPE, text=True, timeout=_LIMIT_SECONDS, check=True
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"image '{name}' could not be imported within {_LIMIT_SECONDS} s") from None
    answer: JSON = json.loads(done.stdout)
    if "error" in answer:
        kind: type[CorralError] = getattr(errors, answer["error"])
        raise kind(answer["message"], code=answer["code"], **answer["details"])
    return build(ImageManifest, answer["manifest"])


def _main() -> None:
    asked = json.load(sys.stdin)
    paths = {key: Path(asked[key]) for key in ("store", "disk", "kernel", "initrd") if asked.get(key)}
    try:
        answer: JSON = {"manifest": asdict(images.add(**(asked | paths)))}
    except CorralError as error:
        kind = type(error).__name__
        answer = {"error": kind, "message": error.message, "code": error.code, "details": error.details}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()

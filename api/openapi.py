"""The OpenAPI documents as files, so that a change of the API is seen in a change of the repository.

`python -m api.openapi FOLDER` writes both there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from flask import Flask

from api.app import create_app
from core.settings import Settings


def documents() -> Iterator[tuple[str, str]]:
    """(file name, text) of each dialect's document. Nothing is connected to."""
    application = create_app(Settings(database_url="postgresql+psycopg2://", redis_url="redis://"))
    for name, dialect in (("microvm", application.microvm), ("vboxmcp", application.vboxmcp)):
        yield f"{name}.json", json.dumps(_spec(dialect), indent=2, sort_keys=True) + "\n"


def write(folder: Path) -> None:
    """Write them all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents():
        (folder / name).write_text(text)


def _spec(app: Flask) -> object:
    (api,) = app.extensions["flask-smorest"]["apis"].values()
    return api["ext_obj"].spec.to_dict()


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/openapi"))

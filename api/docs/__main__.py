"""`python -m api.docs FOLDER`: writes both OpenAPI documents there."""

from __future__ import annotations

import sys
from pathlib import Path

from api.docs.files import write

if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/openapi"))

"""What runs Corral in earnest: units, proxies, dashboards. `corral install` puts the units in place."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

"""Flower, whose metrics and health check ask for its password or the metrics token.

Flower itself shows these two to anybody.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from flower import urls
from flower.views import monitor
from tornado.web import HTTPError

from core import exposition
from workers.app import app


class _Asking:
    """Before what a handler of Flower's answers."""

    request: Any

    def prepare(self) -> None:
        """Refuses who shows neither."""
        token = os.environ.get("CORRAL_METRICS_TOKEN", "")
        if exposition.may_read(self.request.headers.get("Authorization"), token):
            return
        if not self.get_current_user():  # type: ignore[attr-defined]
            raise HTTPError(401)


class FlowerMetrics(_Asking, monitor.Metrics):  # type: ignore[misc]
    """The figures."""


class Healthcheck(_Asking, monitor.Healthcheck):  # type: ignore[misc]
    """The health check of Flower."""


def main(options: list[str]) -> None:
    """Runs until it is ended."""
    ours = {monitor.Metrics: FlowerMetrics, monitor.Healthcheck: Healthcheck}
    urls.handlers[:] = [
        (each[0], ours[each[1]]) if isinstance(each, tuple) and each[1] in ours else each for each in urls.handlers
    ]
    app.start(["flower", *options])


if __name__ == "__main__":
    main(sys.argv[1:])

"""The WSGI application that gunicorn serves: the whole API, made in each worker after its fork (api/gunicorn.py)."""

from __future__ import annotations

from api.app import create_app
from core import log, settings

_settings = settings.load()
log.setup("api", _settings.log_level)
settings.report()
application = create_app(_settings)

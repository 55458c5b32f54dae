"""Wires the two dialects, their sockets and their documents into one WSGI application."""

from __future__ import annotations

from flask_sock import Sock

from api import microvm, vboxmcp
from api.auditing import audit
from api.auth import identity
from api.dialect import Dialects
from api.docs import front, pages
from api.microvm import console, exec_socket, sockets
from api.microvm.shape import SHAPE as MICROVM
from api.monitoring import exposition
from api.page import views as page
from api.realtime.hub import Hub
from api.rest import app
from api.vboxmcp import socket
from api.vboxmcp.shape import SHAPE as VBOXMCP
from api.web.context import ApiContext
from api.web.limits import RequestLimits
from api.web.tally import Tally
from core import database
from core.dispatch import Dispatch
from core.services import keys
from core.services.context import Actor
from core.settings import Settings


def create_app(settings: Settings) -> Dialects:
    """The whole API. It connects to PostgreSQL and Redis when it first needs them, so they may be away."""
    engine, dispatch = database.connect(settings.database_url), Dispatch(settings.redis_url)
    hub = Hub(settings.redis_url, engine, dispatch)
    context = ApiContext(settings, engine, dispatch, hub, Tally(dispatch), RequestLimits(settings))
    flood = audit.make(context)
    first = app.make(MICROVM, context, flood, microvm.blueprints())
    second = app.make(VBOXMCP, context, flood, vboxmcp.blueprints())

    def by_key(secret: str) -> Actor:
        with context.transaction() as session:
            return keys.authenticate(session, secret)

    first.register_blueprint(exposition.blueprint(context))
    for socket_of in (sockets, exec_socket, console):
        socket_of.register(Sock(first), hub, engine, identity.by_header)
    socket.register(Sock(second), hub, engine, by_key)
    for dialect, shape in ((first, MICROVM), (second, VBOXMCP)):
        pages.install(dialect, shape)
        dialect.register_blueprint(front.blueprint(shape))
        dialect.register_blueprint(page.blueprint())
    return Dialects(first, second, hub)

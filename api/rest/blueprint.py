"""Our flask-smorest: decorators that say what a view does, so that the view itself is a line or three."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from typing import Any

from flask import Response, request
from marshmallow import Schema
from sqlalchemy.orm import Session

from api.auditing import audit
from api.auth.identity import actor
from api.rest import documents, idempotency, waiting
from api.rest.answering import Answering, Decorator, View
from api.rest.questions import AgentCall
from api.rest.shapes import ResultPage
from api.web.context import api_context
from api.web.problems import from_operation
from api.web.requests import PREFIX
from api.web.views import has_mark
from core.contract.messages import JSON
from core.contract.states import LIVE, OperationState
from core.models import Idempotency
from core.services import operations
from core.services.accepted import AnyOperation
from core.services.context import Actor

Answer = Callable[[Session, AnyOperation], Any]
UNSENT_SECONDS = 5  # a request is held no longer for an operation that could not be handed over yet
_BYTES = {"type": "string", "format": "binary"}


class Blueprint(Answering):
    """The resources of one noun in one dialect.

    A decorated view gets (self, session, actor, *bodies, **path) and works in the transaction that it is given; the
    answer is dumped by the decorator's schema, in the dialect's shape.
    """

    def read_one(self, schema: type[Schema]) -> Decorator:
        """The view returns one thing, and changes nothing."""
        made = schema()

        def decorate(view: View) -> View:
            @wraps(view)
            def wrapper(this: Any, *args: Any, **path: Any) -> Response:
                with api_context().reading() as session:
                    found = view(this, session, actor(), *args, **path)
                return self._one(200, made, found)

            return self._documented(wrapper, 200, schema, "read")

        return decorate

    def respond(self, status: int, schema: type[Schema], *, kind: str = "change") -> Decorator:
        """The view minds its transactions itself, and returns one thing or a whole response."""
        made = schema()

        def decorate(view: View) -> View:
            @wraps(view)
            def wrapper(this: Any, *args: Any, **path: Any) -> Response:
                found = view(this, *args, **path)
                return found if isinstance(found, Response) else self._one(status, made, found)

            return self._documented(wrapper, status, schema, kind)

        return decorate

    def respond_bytes(self) -> Decorator:
        """The view returns a whole response: bytes of any type, as they come, or a part of them."""

        def decorate(view: View) -> View:
            @wraps(view)
            def wrapper(this: Any, *args: Any, **path: Any) -> Response:
                response: Response = view(this, *args, **path)
                return response

            documents.note(wrapper, "question")
            for status in (206, 200):
                wrapper = self.response(status, _BYTES, content_type="*/*")(wrapper)
            return wrapper

        return decorate

    def replay(self, status: int, first: Idempotency) -> Response:
        """The answer that a request with the same key had before."""
        return _replayed(self._made(status, idempotency.dumped_of(first)))

    def read_many(self, noun: str, schema: type[Schema]) -> Decorator:
        """The view returns `ResultPage`."""
        made = schema()

        def decorate(view: View) -> View:
            @wraps(view)
            def wrapper(this: Any, *args: Any, **path: Any) -> Response:
                with api_context().reading() as session:
                    listed: ResultPage = view(this, session, actor(), *args, **path)
                return self._many(noun, made, listed)

            return self._wrapped(wrapper, 200, self.shape.many_schema(noun, schema), "read")

        return decorate

    def write(self, status: int, schema: type[Schema] | None, *, forgets: tuple[str, ...] = ()) -> Decorator:
        """The view changes something at once, without an operation. `forgets`: fields that a replay can't show."""
        made = schema() if schema else None

        def decorate(view: View) -> View:
            @wraps(view)
            def wrapper(this: Any, *args: Any, **path: Any) -> Response:
                key = idempotency.idempotency_key()
                caller = None if has_mark(view, "public") else actor()

                def change(session: Session) -> tuple[Any, bool]:
                    first = idempotency.claim(session, key) if key else None
                    if first is not None:
                        return idempotency.dumped_of(first), True
                    dumped = _dump(made, view(this, session, caller, *deepcopy(args), **path))
                    if key:
                        idempotency.keep(session, key, answer={"dumped": _without(dumped, forgets)})
                    audit.within(session, status, dumped)
                    return dumped, False

                dumped, again = api_context().transact(change)
                response = self._made(status, dumped)
                return _replayed(response) if again else response

            return self._documented(wrapper, status, schema, "change")

        return decorate

    def start_operation(
        self, status: int, schema: type[Schema] | None, answer: Answer, *, holds: bool = True
    ) -> Decorator:
        """The view begins an operation and returns it; `answer(session, operation)` is what is said of it then.

        With `holds` that is when it has succeeded, else at once. `Prefer` decides otherwise.
        """
        made = schema() if schema else None

        def decorate(view: View) -> View:
            @wraps(view)
            def wrapper(this: Any, *args: Any, **path: Any) -> Response:
                prefer = waiting.preference(holds=holds)

                def begin(session: Session) -> tuple[AnyOperation, bool, Any]:
                    operation, again = idempotency.begin_once(
                        session, lambda s, a: view(this, s, a, *deepcopy(args), **path)
                    )
                    said = _dump(made, answer(session, operation)) if prefer.begun else None
                    if not again:
                        audit.begun(session, operation)
                    return operation, again, said

                operation, again, said = api_context().transact(begin)
                if prefer.begun:
                    response = self._made(status, said)
                else:
                    hands_over = api_context().dispatch.hands_over
                    seconds = prefer.seconds if hands_over else min(prefer.seconds, UNSENT_SECONDS)
                    response = self._when_ended(operation, seconds, status, made, answer)
                response.headers["X-Operation-Id"] = operation.id
                if prefer.applied:
                    response.headers["Preference-Applied"] = prefer.applied
                return _replayed(response) if again else response

            return self._documented(wrapper, status, schema, "operation")

        return decorate

    def slow_write(self, status: int, schema: type[Schema] | None, may: Callable[[Actor], None]) -> Decorator:
        """The view takes its time, outside of any transaction, for callers that `may` lets through."""
        made = schema() if schema else None

        def decorate(view: View) -> View:
            @wraps(view)
            def wrapper(this: Any, *args: Any, **path: Any) -> Response:
                may(actor())
                key = idempotency.idempotency_key()
                if key and (first := idempotency.claim_alone(key)):
                    return _replayed(self._made(status, idempotency.dumped_of(first)))
                with idempotency.given_back_on_failure(key):
                    dumped = _dump(made, view(this, *args, **path))
                if key:
                    with api_context().transaction() as session:
                        idempotency.keep(session, key, answer={"dumped": dumped})
                return self._made(status, dumped)

            return self._documented(wrapper, status, schema, "change")

        return decorate

    def read_from_agent(self, schema: type[Schema], answer: Callable[[AgentCall, JSON], Any]) -> Decorator:
        """The view returns a `AgentCall` that changes nothing; `answer(question, reply)` is what is said then."""
        made = schema()

        def decorate(view: View) -> View:
            @wraps(view)
            def wrapper(this: Any, *args: Any, **path: Any) -> Response:
                with api_context().reading() as session:
                    question: AgentCall = view(this, session, actor(), *args, **path)
                return self._one(200, made, answer(question, question.ask(api_context().hub)))

            return self._documented(wrapper, 200, schema, "question")

        return decorate

    def call_agent(
        self,
        schema: type[Schema] | None,
        answer: Callable[[AgentCall, JSON], Any],
        *,
        status: int = 200,
        kind: str = "call",
    ) -> Decorator:
        """The view returns a `AgentCall` to a host; `answer(question, reply)` is what is said then.

        `kind` is "call", or "ask" where nothing is done in the guest.
        """
        made = schema() if schema else None

        def decorate(view: View) -> View:
            @wraps(view)
            def wrapper(this: Any, *args: Any, **path: Any) -> Response:
                key = idempotency.idempotency_key()
                with api_context().transaction() as session:
                    first = idempotency.claim(session, key) if key else None
                    if first is not None:
                        return _replayed(self._made(status, idempotency.dumped_of(first)))
                    question: AgentCall = view(this, session, actor(), *args, **path)
                    audit.asking(session)
                with idempotency.given_back_on_failure(key):
                    reply = question.ask(api_context().hub)
                dumped = _dump(made, answer(question, reply))
                if key:
                    with api_context().transaction() as session:
                        idempotency.keep(session, key, answer={"dumped": dumped})
                return self._made(status, dumped)

            return self._documented(wrapper, status, schema, kind)

        return decorate

    def read_many_from_agent(
        self, noun: str, schema: type[Schema], answer: Callable[[AgentCall, JSON], ResultPage]
    ) -> Decorator:
        """As `call_agent`, for a list."""
        made = schema()

        def decorate(view: View) -> View:
            @wraps(view)
            def wrapper(this: Any, *args: Any, **path: Any) -> Response:
                with api_context().reading() as session:
                    question: AgentCall = view(this, session, actor(), *args, **path)
                listed = answer(question, question.ask(api_context().hub))
                return self._many(noun, made, listed)

            return self._wrapped(wrapper, 200, self.shape.many_schema(noun, schema), "ask")

        return decorate

    def _when_ended(
        self, operation: AnyOperation, seconds: float, status: int, made: Schema | None, answer: Answer
    ) -> Response:
        """What is said once the operation has ended, or a 202 when that takes longer."""
        if seconds > 0:
            waiting.wait(operation.id, seconds, just_begun=True)
            with api_context().reading() as session:
                operation = operations.get(session, actor(), operation.id)
                if operation.state == OperationState.SUCCEEDED:
                    return self._made(status, _dump(made, answer(session, operation)))
        if seconds > 0 and operation.state not in LIVE:
            raise from_operation(operation)
        response = self.operation(operation, 202)
        response.headers["Location"] = f"{request.script_root}{PREFIX}/operations/{operation.id}"
        return response


def _dump(schema: Schema | None, data: Any) -> Any:
    return schema.dump(data) if schema else None


def _without(dumped: Any, names: tuple[str, ...]) -> Any:
    return dumped | dict.fromkeys(names) if names else dumped


def _replayed(response: Response) -> Response:
    response.headers["Idempotency-Replayed"] = "true"
    return response

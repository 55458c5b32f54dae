"""Marks of views: public, takes uploads, not counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app, request

View = TypeVar("View", bound=Callable[..., Any])


def mark(*words: str) -> Callable[[View], View]:
    """Mark a view: `public` (anyone may call), `admin` (they alone may), `uncounted` (no rate limits), `uploads`.

    `asks`: whatever its method, it changes nothing. `audited`: it reads of a guest, which the audit log tells.
    `prompt`: it finds out itself who is calling, as it must answer soon even when that can't be found out.
    """

    def decorate(view: View) -> View:
        vars(view).update({f"is_{word}": True for word in words})
        return view

    return decorate


def marked(word: str) -> bool:
    """Whether the view of the present request is marked so."""
    return has_mark(_view(), word)


def has_mark(view: Any, word: str) -> bool:
    """Whether that view is marked so."""
    return bool(getattr(view, f"is_{word}", False))


def _view() -> Any:
    function = current_app.view_functions.get(request.endpoint or "")
    method = "get" if request.method == "HEAD" else request.method.lower()
    return getattr(getattr(function, "view_class", None), method, function)

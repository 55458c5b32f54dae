"""The OpenAPI documents: committed, complete, and shown without any other server's help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from api.openapi import documents
from tests.api.world import World

_FOLDER = Path(__file__).parents[2] / "docs" / "openapi"


def test_the_committed_documents_are_those_of_the_api() -> None:
    for name, text in documents():
        assert (_FOLDER / name).read_text() == text, "run: python -m api.openapi docs/openapi"


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_every_route_is_documented_with_its_errors(world: World, dialect: str) -> None:
    app = getattr(world.application, dialect)
    spec: dict[str, Any] = world._client.get(f"/openapi/{dialect}.json").get_json()
    documented = {(path, method.upper()) for path, item in spec["paths"].items() for method in item}
    documented -= {(path, "PARAMETERS") for path in spec["paths"]}
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/v1/") and not rule.websocket and not rule.rule.endswith(("/events", "/ws"))
    }
    assert routes == documented
    for path, item in spec["paths"].items():
        for method, operation in item.items():
            if method != "parameters" and not path.endswith("/health"):
                assert {"429", "500", "503"} <= set(operation["responses"]), (path, method)


@pytest.mark.parametrize("dialect", ["microvm", "vboxmcp"])
def test_the_page_loads_nothing_from_elsewhere(world: World, dialect: str) -> None:
    page = world._client.get(f"/docs/{dialect}/")
    assert page.status_code == 200
    assert f"/openapi/{dialect}.json" in page.text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert sources
    for source in sources:
        assert "//" not in source
        with world._client.get(source if source.startswith("/") else f"/docs/{dialect}/{source}") as answer:
            assert answer.status_code == 200, source

"""Every port that a fleet opens asks who calls: also one who comes from the machine itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from cli.fleet import ports
from cli.fleet.fleet import Fleet
from cli.fleet.plan import FleetPlan
from tests.support.waiting import until

SECONDS = 10


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """With Flower, and ports for a worker's and an agent's figures."""
    plan = FleetPlan(
        home=tmp_path / "home",
        images=tmp_path / "images",
        hypervisors=("fake",),
        agents=1,
        api_workers=1,
        image=False,
        durable=False,
        metrics_port=ports.choose(2),
    )
    with Fleet(plan) as running:
        yield running


def test_figures_and_flower_ask_for_a_token_or_a_password(fleet: Fleet) -> None:
    token = {"Authorization": f"Bearer {fleet.credentials.metrics_token}"}
    who = (fleet.credentials.username, fleet.credentials.password)
    until(lambda: requests.get(fleet.flower_url, timeout=SECONDS).status_code, despite=requests.RequestException)
    figures = [f"http://127.0.0.1:{port}/metrics" for port in fleet.plan.metrics_ports.values()]
    figures += [f"{fleet.url}/metrics", f"{fleet.flower_url}/metrics"]
    for url in (*figures, f"{fleet.flower_url}/healthcheck"):
        assert requests.get(url, timeout=SECONDS).status_code == 401
        assert requests.get(url, headers={"Authorization": "Bearer wrong"}, timeout=SECONDS).status_code == 401
        assert requests.get(url, headers=token, timeout=SECONDS).status_code == 200
    for page in ("/", "/metrics", "/healthcheck", "/api/workers"):
        assert requests.get(f"{fleet.flower_url}{page}", timeout=SECONDS).status_code == 401
        assert requests.get(f"{fleet.flower_url}{page}", auth=who, timeout=SECONDS).status_code == 200
    assert requests.get(f"{fleet.flower_url}/", headers=token, timeout=SECONDS).status_code == 401

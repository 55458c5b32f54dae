"""deploy/grafana and deploy/prometheus: they name figures and labels that the code has, and Prometheus takes them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
import requests
import yaml
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

import agent.host.prometheus
import api.monitoring.meters
import deploy
import workers.prometheus
from cli.fleet.fleet import Fleet

RULES = deploy.FOLDER / "prometheus" / "rules.yml"
DASHBOARD = json.loads((deploy.FOLDER / "grafana" / "corral.json").read_text())
# What each part registers at its import, and so tells before anything was counted.
PARTS = (agent.host.prometheus, api.monitoring.meters, workers.prometheus)
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
NAME = re.compile(r"\bcorral_\w+")


@pytest.fixture(scope="module")
def known(fleet: Fleet) -> set[str]:
    """Every name that a sample of ours can have: in the registries, and on the /metrics of each part."""
    shown = {"Authorization": f"Bearer {fleet.credentials.metrics_token}"}
    addresses = [fleet.url, *(f"http://127.0.0.1:{port}" for port in fleet.plan.metrics_ports.values())]
    texts = [requests.get(f"{url}/metrics", headers=shown, timeout=20).text for url in addresses]
    told = [family for text in texts for family in text_string_to_metric_families(text)]
    registered = [family for family in REGISTRY.collect() if family.name.startswith("corral_")]
    assert len(PARTS) == len({family.name.split("_")[1] for family in registered} & {"agent", "worker", "http"})
    return {
        family.name + ending
        for family in [*registered, *told]
        for ending in ENDINGS.get(family.type, ())
        if not family.name.endswith("_created")
    }


def expressions() -> Iterator[tuple[str, str]]:
    """Of each panel and each alert, by its title."""
    for panel in DASHBOARD["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from ((rule["alert"], rule["expr"]) for rule in group["rules"])


def test_they_name_nothing_that_the_code_has_not(known: set[str]) -> None:
    named = {(title, name) for title, expression in expressions() for name in NAME.findall(expression)}
    assert len(named) > 30
    assert {each for each in named if each[1] not in known} == set()


def test_each_figure_is_on_some_panel(known: set[str]) -> None:
    """But for the parts of histograms that quantiles are not made of, and the disks of VMs."""
    named = {name for _, expression in expressions() for name in NAME.findall(expression)}
    left = {name for name in known - named if name.startswith("corral_") and not name.endswith(("_sum", "_count"))}
    assert left == {"corral_agent_vms", "corral_agent_calls_total", "corral_agent_call_seconds_bucket",
                    "corral_agent_vm_disk_bytes"}  # fmt: skip


def test_prometheus_takes_rules_and_scraping() -> None:
    for kind, name in (("rules", "rules.yml"), ("config", "scrape.yml")):
        options = ["--syntax-only"] if kind == "config" else []
        command = ["promtool", "check", kind, *options, str(RULES.with_name(name))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


# Samples, a minute apart, and the alerts that they ring after 20 minutes.
FIRES = {
    "CorralPartDown": {'up{job="corral-agent", instance="a"}': "0x30"},
    "CorralServerUnreachable": {'corral_up{server="redis"}': "0x30"},
    "CorralHostSilent": {'corral_hosts{state="offline"}': "2x30"},
    "CorralReportsLate": {"corral_reports_lag_seconds": "31x30"},
    "CorralNoSweeps": {'corral_worker_sweeps_total{outcome="done"}': "7x30"},
    "CorralReceiverStandsStill": {'corral_worker_receiver_age_seconds{instance="w"}': "61x30"},
    "CorralMessagesUnreadable": {"corral_worker_unreadable_reports_total": "0x15 1x15"},
    "CorralOperationsFail": {
        'corral_operations{state="failed"}': "9x30",
        'corral_operations{state="succeeded"}': "9x30",
    },
    "CorralDriverBroken": {'corral_agent_driver_healthy{driver="qemu", instance="a"}': "0x30"},
    "CorralErrors": {
        'corral_http_requests_total{status="500"}': "0+10x30",
        'corral_http_requests_total{status="200"}': "0+100x30",
    },
}
QUIET = {
    'up{job="corral-agent"}': "1x30",
    'corral_up{server="redis"}': "1x30",
    'corral_hosts{state="offline"}': "0x30",
    "corral_reports_lag_seconds": "2x30",
    'corral_worker_sweeps_total{outcome="done"}': "0+30x30",
    "corral_worker_receiver_age_seconds": "1x30",
    "corral_worker_unreadable_reports_total": "3x30",
    'corral_operations{state="failed"}': "6x30",
    'corral_operations{state="succeeded"}': "90x30",
    'corral_agent_driver_healthy{driver="qemu"}': "1x30",
    'corral_http_requests_total{status="500"}': "0+1x30",
    'corral_http_requests_total{status="200"}': "0+100x30",
}


def test_each_alert_rings_when_it_is_to_and_not_before(tmp_path: object) -> None:
    assert {title for title, _ in expressions() if title.startswith("Corral") and " " not in title} == FIRES.keys()
    tests = [_asked(samples, {name}) for name, samples in FIRES.items()] + [_asked(QUIET, set())]
    file = f"{tmp_path}/tests.json"
    with open(file, "w") as written:
        json.dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}, written)
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _asked(samples: dict[str, str], ringing: set[str]) -> dict[str, object]:
    """How many of each alert are firing after 20 minutes."""
    series = [{"series": name, "values": values} for name, values in samples.items()]
    wanted = [
        {"expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)', "eval_time": "20m",
         "exp_samples": [{"labels": "{}", "value": int(name in ringing)}]}
        for name in FIRES
    ]  # fmt: skip
    return {"interval": "1m", "input_series": series, "promql_expr_test": wanted}

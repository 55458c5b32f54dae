"""The Dockerfile, compose and Kubernetes, as far as can be told without an engine: against what the code has."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest
import redis as client
import yaml

import deploy
from cli.fleet import commands, ports
from cli.fleet.processes import Process
from core import settings
from tests.support.waiting import until

ROOT = deploy.FOLDER.parent
COMPOSE = yaml.safe_load((deploy.FOLDER / "compose" / "compose.yaml").read_text())
CLUSTER = {
    path.stem: list(yaml.safe_load_all(path.read_text())) for path in (deploy.FOLDER / "kubernetes").glob("*.yaml")
}
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "corral"}
PODS = {
    thing["metadata"]["name"]: thing["spec"]["template"]["spec"]
    for things in CLUSTER.values()
    for thing in things
    if thing["kind"] in ("Deployment", "Job")
}
LINES = {
    "api": commands.api()[1:],
    "worker": commands.worker("worker")[1:],
    "flower": [part.replace("127.0.0.1", "0.0.0.0") for part in commands.flower(5555)[1:]],  # noqa: S104
}


def words() -> Iterator[tuple[str, list[str]]]:
    """What each container runs, by the name of its part."""
    yield from ((name, service["command"]) for name, service in OURS.items())
    yield from ((name, pod["containers"][0]["command"]) for name, pod in PODS.items())
    (line,) = re.findall(r"^CMD (.*)$", (deploy.FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    yield "api", json.loads(line)


def test_each_container_runs_what_up_runs() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    entries = setup["options.entry_points"]["console_scripts"]
    for name, line in words():
        if name == "migrate":
            assert line == ["corral", "migrate"]
            assert "corral = cli.main:main" in entries
        else:
            assert line == ["python", *LINES[name]], name
    assert {name for name, _ in words()} == {*LINES, "migrate"}


def test_each_variable_is_a_setting() -> None:
    known = {variable.name for variable in settings.variables().values()} | {"FLOWER_BASIC_AUTH", "PATH"}
    (line,) = re.findall(r"^ENV (.*)$", (deploy.FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    told = {word.partition("=")[0] for word in shlex.split(line)}
    told |= {name for service in OURS.values() for name in service["environment"]}
    told |= {each["name"] for pod in PODS.values() for each in pod["containers"][0].get("env", ())}
    (kustomization,) = CLUSTER["kustomization"]
    told |= {each.partition("=")[0] for each in kustomization["configMapGenerator"][0]["literals"]}
    assert len(told) >= 8
    assert told <= known


def test_what_compose_asks_for_is_in_its_example() -> None:
    example = (deploy.FOLDER / "compose" / "corral.env.example").read_text()
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", json.dumps(COMPOSE)))
    assert asked == set(re.findall(r"^(\w+)=", example, re.MULTILINE))


def test_ports_and_probes_are_the_apis() -> None:
    document = json.loads((ROOT / "docs" / "openapi" / "microvm.json").read_text())
    container = PODS["api"]["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] in {
        f"/api/v1{path.removeprefix('/api/v1')}" for path in document["paths"]
    }
    assert [each["containerPort"] for each in container["ports"]] == [settings.Settings().port]
    probed = {kind: container[kind] for kind in ("startupProbe", "livenessProbe")}
    assert {probe["tcpSocket"]["port"] for probe in probed.values()} == {container["ports"][0]["name"]}
    worker = PODS["worker"]["containers"][0]
    assert worker["env"] == [{"name": "CORRAL_METRICS_PORT", "value": str(worker["ports"][0]["containerPort"])}]
    assert f"dynamic a api {settings.Settings().port}" in (deploy.FOLDER / "compose" / "Caddyfile").read_text()


def test_caddy_takes_the_site_of_compose() -> None:
    command = ["caddy", "adapt", "--config", str(deploy.FOLDER / "compose" / "Caddyfile")]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "SITE": "corral.example.org"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert "corral.example.org" in done.stdout


def test_each_file_of_the_cluster_is_applied_and_budgets_fit_their_pods() -> None:
    (kustomization,) = CLUSTER["kustomization"]
    assert {f"{name}.yaml" for name in CLUSTER} == {*kustomization["resources"], "kustomization.yaml"}
    things = [thing for each in CLUSTER.values() for thing in each]
    deployed = {thing["metadata"]["name"]: thing["spec"] for thing in things if thing["kind"] == "Deployment"}
    budgets = {thing["metadata"]["name"]: thing["spec"] for thing in things if thing["kind"] == "PodDisruptionBudget"}
    assert deployed.keys() == budgets.keys() == {"api", "worker"}
    for name, budget in budgets.items():
        assert budget["selector"] == deployed[name]["selector"]
        assert budget["minAvailable"] < deployed[name]["replicas"]


def test_redis_knows_the_control_plane_alone(tmp_path: Path) -> None:
    """The line of compose, run by a shell on this machine's Redis."""
    _, _, script = COMPOSE["services"]["redis"]["command"]
    port = ports.choose()
    line = ["sh", "-c", script.replace("$$", "$").replace("exec redis-server", f"exec redis-server --port {port}")]
    environment = {"PATH": "/usr/bin:/bin", "REDIS_PASSWORD": "s3cret"}
    server = Process("redis", line, log=tmp_path / "log", environment=environment, folder=tmp_path)
    server.start()
    try:
        address = f"127.0.0.1:{port}/0"
        url = str(OURS["api"]["environment"]["REDIS_URL"])
        url = url.replace("${REDIS_PASSWORD:?}", "s3cret").replace("redis:6379/0", address)
        with client.Redis.from_url(url) as known, client.Redis.from_url(f"redis://{address}") as stranger:
            until(known.ping, despite=client.ConnectionError, why=(tmp_path / "log").read_text)
            with pytest.raises(client.AuthenticationError):
                stranger.ping()
    finally:
        server.stop()

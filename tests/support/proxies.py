"""nginx and Caddy as deploy/proxy has them, with ports and a certificate of the test's own, as private processes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

import deploy
from cli.fleet import ports
from cli.fleet.processes import Process
from tests.support.waiting import until

_NAME = "corral.example.org"
_NGINX = """\
daemon off;
pid {home}/pid;
worker_processes 1;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
{site}}}
"""
# Nothing of the machine's Caddy is touched, and no certificate is asked for.
_CADDY = """\
{{
	admin off
	auto_https off
	storage file_system {home}/storage
}}
{site}"""


@dataclass(frozen=True)
class Proxy:
    """One that runs: where it is, what shows that it is itself, and where it would put what it does not pass on."""

    url: str
    certificate: str
    home: Path

    def kept(self) -> list[Path]:
        """The files that it keeps of requests and answers."""
        folders = [self.home / name for name in ("body", "proxy")]
        return [path for folder in folders if folder.exists() for path in folder.rglob("*") if path.is_file()]


@contextmanager
def running(kind: str, home: Path, api: str) -> Iterator[Proxy]:
    """`kind`: nginx or caddy; `api`: host and port of the API."""
    home.mkdir()
    port = ports.choose()
    certificate, key = _certificate(home)
    if kind == "nginx":
        config, site = home / "nginx.conf", _site("nginx.conf", "127.0.0.1:8000", api, "listen 443", f"listen {port}")
        site = site.replace("/etc/corral/tls/fullchain.pem", str(certificate))
        config.write_text(_NGINX.format(home=home, site=site.replace("/etc/corral/tls/privkey.pem", str(key))))
        command = ["nginx", "-p", str(home), "-e", "stderr", "-c", str(config)]
    else:
        own = f"https://localhost:{port} {{\n\ttls {certificate} {key}"
        config, site = home / "Caddyfile", _site("Caddyfile", "127.0.0.1:8000", api, f"\n{_NAME} {{", f"\n{own}")
        config.write_text(_CADDY.format(home=home, site=site))
        command = ["caddy", "run", "--config", str(config)]
    log = home / "log"
    process = Process(kind, command, log=log, environment={"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(home)})
    process.start()
    proxy = Proxy(f"https://localhost:{port}", str(certificate), home)

    def answers() -> bool:
        if not process.alive:
            pytest.fail(log.read_text())
        return requests.get(f"{proxy.url}/api/v1/health", verify=str(certificate), timeout=20).status_code == 200

    try:
        until(answers, why=log.read_text, despite=requests.RequestException)
        yield proxy
    finally:
        process.stop()


def _site(name: str, *changes: str) -> str:
    """What is shipped, each of the first of two changed into the second; each has to be there."""
    text = (deploy.FOLDER / "proxy" / name).read_text()
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert text.count(old) == 1, (name, old)
        text = text.replace(old, new)
    return text


def _certificate(home: Path) -> tuple[Path, Path]:
    certificate, key = home / "certificate.pem", home / "key.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *kind, *name, *files], check=True, capture_output=True, timeout=20)
    return certificate, key

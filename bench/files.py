"""Files through the API: into a real guest, against its agent asked by hand, and a gigabyte through the fake one."""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil

from bench.http import BenchClient
from bench.rawguest import RawGuest
from bench.stats import Row
from cli.fleet import commands
from cli.fleet.fleet import Fleet

MB = 1 << 20
SIZE_MB = 8
_GIGABYTE_MB = 1024
_PIECE = bytes(range(256)) * (MB // 256)
_EDGE = "corral-bench"


def upload(url: str, token: str, vm: str, path: str, size_mb: int) -> float:
    """Seconds for a file of that size."""
    head = (
        f'--{_EDGE}\r\nContent-Disposition: form-data; name="path"\r\n\r\n{path}\r\n'
        f'--{_EDGE}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    ).encode()
    tail = f"\r\n--{_EDGE}--\r\n".encode()
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)
    began = time.perf_counter()
    connection.putrequest("POST", f"/api/v1/vms/{vm}/files/upload")
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={_EDGE}")
    connection.putheader("Content-Length", str(len(head) + size_mb * MB + len(tail)))
    connection.endheaders(head)
    for _ in range(size_mb):
        connection.send(_PIECE)
    connection.send(tail)
    _check(connection)
    return time.perf_counter() - began


def download(url: str, token: str, vm: str, path: str) -> float:
    """Seconds for a file."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)
    began = time.perf_counter()
    target = f"/api/v1/vms/{vm}/files/download?path={path}"
    connection.request("GET", target, headers={"Authorization": f"Bearer {token}"})
    _check(connection)
    return time.perf_counter() - began


def compare(fleet: Fleet, token: str, vm: str, raw: RawGuest) -> Iterator[Row]:
    """Both ways, raw and ours in turn."""
    seconds: dict[str, list[float]] = {"raw up": [], "our up": [], "raw down": [], "our down": []}
    for _ in range(3):
        seconds["raw up"].append(raw.write("/root/bench", _PIECE, SIZE_MB))
        seconds["our up"].append(upload(fleet.url, token, vm, "/root/bench", SIZE_MB))
        seconds["raw down"].append(raw.read("/root/bench", SIZE_MB))
        seconds["our down"].append(download(fleet.url, token, vm, "/root/bench"))
    rate = {name: SIZE_MB / statistics.median(taken) for name, taken in seconds.items()}
    for what, word in (("up", "upload"), ("down", "download")):
        ours, theirs = rate[f"our {what}"], rate[f"raw {what}"]
        measured = f"{ours:.1f} MB/s = {ours / theirs:.2f} x {theirs:.1f} MB/s"
        yield Row(f"{word} of {SIZE_MB} MB", measured, "≥ 0.6 x raw guest agent", ours >= 0.6 * theirs)


def gigabyte(fleet: Fleet, token: str) -> Iterator[Row]:
    """Up and down again on the fake driver, and how much more memory its processes hold meanwhile."""
    client = BenchClient(fleet.url, token)
    client.must("POST", "/vms", {"name": "gigabyte", "hypervisor": "fake"})
    client.must("POST", "/vms/gigabyte/start")
    upload(fleet.url, token, "gigabyte", "/warm", 1)
    with _Memory(fleet) as memory:
        up = upload(fleet.url, token, "gigabyte", "/large", _GIGABYTE_MB)
        down = download(fleet.url, token, "gigabyte", "/large")
    client.must("DELETE", "/vms/gigabyte")
    rates = f"{_GIGABYTE_MB / up:.0f} MB/s up, {_GIGABYTE_MB / down:.0f} MB/s down"
    yield Row("1 GB through API and agent", rates, "≥ 10 MB/s", max(up, down) < _GIGABYTE_MB / 10)
    for name, grown in memory.grown_mb.items():
        yield Row(f"memory for 1 GB, {name}", f"{grown:.0f} MB", "≤ 64 MB", grown <= 64)


class _Memory:
    """How much the API's workers and the agents have grown, at most, while the block lasts."""

    def __init__(self, fleet: Fleet) -> None:
        self._watched = {"API": psutil.Process(fleet.process(commands.API).pid).children()}
        self._watched["agent"] = [psutil.Process(fleet.process(name).pid) for name in fleet.plan.host_names]
        self.grown_mb = dict.fromkeys(self._watched, 0.0)
        self._before = {each.pid: each.memory_info().rss for some in self._watched.values() for each in some}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            for name, some in self._watched.items():
                grown = max(each.memory_info().rss - self._before[each.pid] for each in some) / 1e6
                self.grown_mb[name] = max(self.grown_mb[name], grown)


def _check(connection: http.client.HTTPConnection) -> None:
    """Takes in the whole answer, which must be a success."""
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"{response.status} {response.read()[:300]!r}")
    while response.read(MB):
        pass
    connection.close()

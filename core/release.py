"""The release that this process runs, as an archive: wheels of Corral and of all that it needs.

A host that has only the fleet installs from it: pip is told the digest of each wheel, and asks no index. It serves
machines that can run what this one runs: the same Python, processor and C library.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email import message_from_string
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from core.contract.errors import Unavailable
from core.version import VERSION

REQUIREMENTS = "requirements.txt"
_NAME = "corral"
_ROOT = Path(__file__).parents[1]
_OURS = ("agent", "api", "cli", "core", "corral", "deploy", "migrations", "workers")  # the packages of setup.cfg
_PURE = "Wheel-Version: 1.0\nGenerator: corral\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
# What pip has noted of an installation, and Python has compiled.
_LEFT_OUT = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # so that the same files are the same wheel
_SPEED = 1  # of zlib's levels the fastest: it is made once, and mostly sent in a local network


@dataclass(frozen=True)
class Wheel:
    """A distribution as it can be installed: `files` by their names in the wheel."""

    name: str
    version: str
    tags: tuple[str, ...]
    files: Mapping[str, Path | bytes]

    @property
    def file_name(self) -> str:
        """As pip reads it; several tags are one compressed set."""
        sets = (dict.fromkeys(part) for part in zip(*(tag.split("-", 2) for tag in self.tags), strict=True))
        kind = "-".join(".".join(parts) for parts in sets)
        return f"{re.sub('[-_.]+', '_', self.name)}-{self.version}-{kind}.whl"

    def packed(self) -> bytes:
        """The wheel."""
        made, record = BytesIO(), []
        info = next(name for name in self.files if name.endswith(".dist-info/METADATA")).partition("/")[0]
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=_SPEED) as archive:
            for name, source in sorted(self.files.items()):
                data = source if isinstance(source, bytes) else source.read_bytes()
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
                record.append(f"{name},sha256={digest},{len(data)}\n")
                archive.writestr(_member(name), data)
            archive.writestr(_member(f"{info}/RECORD"), "".join([*record, f"{info}/RECORD,,\n"]))
        return made.getvalue()


def write(into: IO[bytes]) -> None:
    """The archive, as a tar: the wheels, then `requirements.txt` with the version and the digest of each.

    `Unavailable` when something was not installed in a way that can be read back.
    """
    lines = []
    with tarfile.open(fileobj=into, mode="w|") as tar:
        for wheel in wheels():
            data = wheel.packed()
            _add(tar, wheel.file_name, data)
            lines.append(f"{wheel.name}=={wheel.version} --hash=sha256:{hashlib.sha256(data).hexdigest()}\n")
        _add(tar, REQUIREMENTS, "".join(sorted(lines)).encode())


def wheels() -> Iterator[Wheel]:
    """Corral, and all that it needs here, each once."""
    ours = _ours()
    yield ours
    asked = [Requirement(text) for text in message_from_string(_text(ours, "METADATA")).get_all("Requires-Dist", [])]
    done: set[tuple[str, str]] = set()
    packed: set[str] = set()
    while asked:
        requirement = asked.pop()
        for extra in ("", *requirement.extras):
            key = (canonicalize_name(requirement.name), extra)
            if key in done:
                continue
            done.add(key)
            found = _installed(requirement.name)
            asked += _needs(found, extra)
            if key[0] not in packed:
                packed.add(key[0])
                yield _again(found)


def _needs(found: Distribution, extra: str) -> Iterator[Requirement]:
    """What it needs on this machine, beside what it needs without that extra."""
    for text in found.requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def _ours() -> Wheel:
    """Corral from the wheel that it was installed from, or from the files of a checkout."""
    try:
        return _again(distribution(_NAME))
    except PackageNotFoundError:
        pass
    config = configparser.ConfigParser()
    if not config.read(_ROOT / "setup.cfg"):
        raise Unavailable(f"the release can't be packed: Corral in {_ROOT} is neither an installation nor a checkout")
    info = f"{_NAME}-{VERSION}.dist-info"
    files: dict[str, Path | bytes] = {
        path.relative_to(_ROOT).as_posix(): path
        for package in _OURS
        for path in (_ROOT / package).rglob("*")
        if path.is_file() and _is_kept(path.relative_to(_ROOT).parts)
    }
    needed = "".join(f"Requires-Dist: {line}\n" for line in _lines(config["options"]["install_requires"]))
    scripts = "\n".join(_lines(config["options.entry_points"]["console_scripts"]))
    about = f"Metadata-Version: 2.1\nName: {_NAME}\nVersion: {VERSION}\n{needed}"
    files |= {
        f"{info}/METADATA": about.encode(),
        f"{info}/WHEEL": _PURE.encode(),
        f"{info}/entry_points.txt": f"[console_scripts]\n{scripts}\n".encode(),
    }
    return Wheel(_NAME, VERSION, ("py3-none-any",), files)


def _lines(text: str) -> Iterable[str]:
    return (line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))


def _again(found: Distribution) -> Wheel:
    """The wheel that an installed distribution came from; what pip made of it, such as programs, pip makes again."""
    name, told = found.metadata["Name"], found.read_text("WHEEL")
    if told is None or not found.files:
        raise Unavailable(f"the release can't be packed: {name} was not installed from a wheel")
    files: dict[str, Path | bytes] = {}
    for file in found.files:
        if ".." not in file.parts and _is_kept(file.parts):
            files[file.as_posix()] = Path(str(found.locate_file(file)))
    return Wheel(name, found.version, tuple(message_from_string(told).get_all("Tag", [])), files)


def _is_kept(parts: tuple[str, ...]) -> bool:
    noted = parts[-2:-1] and parts[-2].endswith(".dist-info") and parts[-1] in _LEFT_OUT
    return "__pycache__" not in parts and not noted


def _installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise Unavailable(f"the release can't be packed: {name}, a dependency, is not installed here") from None


def _text(wheel: Wheel, name: str) -> str:
    data = next(source for path, source in wheel.files.items() if PurePosixPath(path).name == name)
    return (data if isinstance(data, bytes) else data.read_bytes()).decode()


def _member(name: str) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name, _LONG_AGO)
    made.compress_type, made.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    return made


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    made = tarfile.TarInfo(name)
    made.size, made.mode = len(data), 0o644
    tar.addfile(made, BytesIO(data))

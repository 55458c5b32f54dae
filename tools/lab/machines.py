"""One host of the lab, as an emulated machine: booted, looked into through its console, ended with us."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from cli.fleet import files
from cli.fleet.processes import Process
from cli.image.log import Log
from core.contract.errors import CorralError
from tools.lab import build, recipe

# With five levels of page tables the nested ones of AMD-V have five, too, and VirtualBox makes them of four. Fine
# timers cost an emulated machine half its time.
CPU = "max,la57=off"
CMDLINE = (
    "root=/dev/nvme0n1 rw console=ttyS0 quiet mitigations=off cryptomgr.notests highres=off nohz=off "
    "init=/usr/lib/corral/init corral.host={host} corral.modules={modules}"
)
AGENT = ("agent", "core")
CONNECT_SECONDS = 5.0


class NoAnswer(CorralError):
    """A host's console did not answer in time."""

    code = "lab_host_mute"


class LabMachine(Process):
    """A host. In its folder: `console.log`, `agent.log`, `qemu.log`, and `console.sock`, where a root shell listens."""

    def __init__(self, host: recipe.LabHost, built: build.Built, folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__(host.name, [], log=folder / "qemu.log", folder=folder)
        self.host = host
        self._built, self._agent_environment = built, environment

    def start(self) -> None:
        """Switches it on; it has booted when the fleet hears of its agent."""
        if self.alive:
            return
        folder = self._folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for log in ("console.log", "agent.log", "qemu.log"):
            files.set_aside(folder / log)
        self._pack_agent()
        self.command = self._command()
        # Where QEMU keeps what the host writes: in files without a name, which end with it.
        self.environment = {**os.environ, "TMPDIR": str(folder)}
        super().start()

    @property
    def panic(self) -> str:
        """The kernel's last words, if it has said any."""
        console = self._folder / "console.log"
        said = console.read_text(errors="replace") if console.exists() else ""
        return next((line for line in said.splitlines() if "Kernel panic" in line), "")

    @property
    def _folder(self) -> Path:
        return self.log.parent

    def run(self, command: str, seconds: float = 30.0) -> str:
        """Runs a line in the host's root shell; what it says. `NoAnswer` when that takes longer."""
        return run_in(self._folder, command, seconds)

    def _pack_agent(self) -> None:
        """The agent of this checkout and its settings, as a disk."""
        payload, checkout = self._folder / "payload", recipe.REQUIREMENTS.parent
        shutil.rmtree(payload, ignore_errors=True)
        payload.mkdir(mode=0o711)  # where the users of VMs find the program that is given
        for part in AGENT:
            shutil.copytree(checkout / part, payload / part, ignore=shutil.ignore_patterns("__pycache__"))
        if recipe.GIVEN in recipe.offered(self.host) and (program := recipe.given()) is not None:
            shutil.copyfile(program, payload / recipe.GIVEN)
            (payload / recipe.GIVEN).chmod(0o755)
        lines = [f"{name}='{value}'\n" for name, value in self._agent_environment.items()]
        (payload / "environment").write_text("".join(lines))
        (payload / "environment").chmod(0o600)
        log = Log(self._folder / "payload.log", lambda _: None)
        build.pack_folder(payload, self._folder / "payload.raw", "corral-agent", log)
        shutil.rmtree(payload)

    def _command(self) -> list[str]:
        usr = self._built.programs / "usr"
        # Its own C library and loader, as it is of another Debian than this machine.
        loader = [str(usr / "lib64/ld-linux-x86-64.so.2"), "--library-path", str(usr / "lib/x86_64-linux-gnu")]
        made = self._built.hosts[self.name]
        return [
            *loader,
            str(usr / "bin/qemu-system-x86_64"),
            *["-L", str(usr / "share/qemu"), "-L", str(usr / "share/seabios")],
            *["-name", self.name, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
            *["-machine", "q35", "-accel", "tcg,tb-size=512", "-cpu", CPU, "-smp", "1"],
            *["-m", str(self.host.memory_mb)],
            *_disk(made / "disk.qcow2", "nvme", "root"),
            *_disk(self._folder / "payload.raw", "virtio-blk-pci", "agent"),
            *_disk(self._built.images_disk, "virtio-blk-pci", "images"),
            *["-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="],
            *["-device", "virtio-rng-pci"],
            *["-chardev", "socket,id=console,path=console.sock,server=on,wait=off,logfile=console.log"],
            *["-serial", "chardev:console", "-serial", "file:agent.log"],
            *["-kernel", str(made / "vmlinuz")],
            *["-append", CMDLINE.format(host=self.name, modules=self.host.modules)],
        ]


def _disk(file: Path, device: str, name: str) -> list[str]:
    """Its root is the one NVMe: Debian's kernels have that built in, so that no host needs an initial ramdisk."""
    kind = "qcow2" if file.suffix == ".qcow2" else "raw"
    drive = f"file={file},format={kind},if=none,id={name},snapshot=on"
    return ["-drive", drive, "-device", f"{device},drive={name},serial={name}"]


def run_in(folder: Path, command: str, seconds: float) -> str:
    """Runs a line in the root shell of the host of that folder; what it says."""
    mark = f"{time.monotonic_ns():x}"
    # What the terminal echoes has the quotes in it, what the shell says has not.
    line = f"\n{{ echo 'begin'-{mark}; {command}\n}} 2>&1; echo 'end'-{mark}\n"
    said, deadline = b"", time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX) as console:
        console.settimeout(CONNECT_SECONDS)
        _connect(console, folder)
        console.sendall(line.encode())
        console.settimeout(0.5)
        while f"end-{mark}".encode() not in said:
            if time.monotonic() > deadline:
                raise NoAnswer(f"{folder.name}: '{command}' did not end within {seconds:.0f} s")
            try:
                said += console.recv(65536)
            except TimeoutError:
                continue
    text = said.decode(errors="replace").replace("\r", "")
    return text.split(f"begin-{mark}\n", 1)[-1].split(f"end-{mark}", 1)[0]


def _connect(console: socket.socket, folder: Path) -> None:
    """By the folder's descriptor: its path may be longer than a socket's address can be."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            console.connect(f"/proc/self/fd/{descriptor}/console.sock")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NoAnswer(f"{folder.name} does not run here: {folder / 'console.sock'}: {error.strerror}") from None

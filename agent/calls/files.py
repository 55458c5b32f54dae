"""Files in guests, and those of VMs that move: listed by a call, written and read over a stream that the call opens.

file_write {"stream", "path": where it will go, if known}: the API sends the bytes and ends with {"path",
"permissions"}; the agent ends with {"path"} once the file is whole at its place.
file_read {"stream", "path"}: the agent says `FileFound`, the API answers `FilePart`, and the agent sends these bytes
and ends.
moved_file {"stream", "file", "first", "length"}: a file of a VM that leaves this host goes out, without its holes.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agent.calls.parameters import asked, vm_of
from agent.calls.streams import AgentStreams
from agent.drivers.capabilities import files
from agent.drivers.capabilities.files import FileTarget
from agent.drivers.capabilities.moving import MovingCapability
from agent.drivers.offers import offered
from agent.drivers.registry import Drivers
from core.contract.calls import ListFiles, ReadFile, WriteFile
from core.contract.messages import JSON, Call, VmSpec, build, encode
from core.contract.moves import ReadMoved
from core.contract.openings import FileFound, FilePart
from core.streams import Stream

IDLE_SECONDS = 300.0  # an upload of which nothing has come for so long is given up


class FileCalls:
    """Answers the calls about files of one host."""

    def __init__(self, drivers: Drivers, streams: AgentStreams) -> None:
        self._drivers, self._streams = drivers, streams

    def write(self, call: Call) -> JSON:
        """Opens the stream on which a file comes in."""
        vm, near = vm_of(call), asked(call, WriteFile).path
        driver = self._driver(vm)

        def work(stream: Stream) -> None:
            written = driver.file_write(
                vm, near, stream.chunks(IDLE_SECONDS), lambda: build(FileTarget, stream.last_word)
            )
            stream.end({"path": written.path})

        return self._serve(call, asked(call, WriteFile).stream, work)

    def read(self, call: Call) -> JSON:
        """Opens the stream on which a file goes out."""
        vm, path = vm_of(call), asked(call, ReadFile).path
        driver = self._driver(vm)

        def work(stream: Stream) -> None:
            with driver.file_read(vm, path) as reading:
                stream.write(encode(FileFound(reading.size_bytes, reading.modified_at)).encode())
                if (part := stream.opening(FilePart)) is not None:
                    for chunk in reading.chunks(part.first, part.length):
                        stream.write(chunk)
                    stream.end()

        return self._serve(call, asked(call, ReadFile).stream, work)

    def list(self, call: Call) -> JSON:
        """What is in a folder."""
        vm, folder = vm_of(call), asked(call, ListFiles)
        found = self._driver(vm).file_list(vm, folder.path, folder.recursive, folder.most)
        return asdict(found)

    def moved(self, call: Call) -> JSON:
        """Opens the stream on which a file of a VM that moves goes out."""
        vm, wanted = vm_of(call), asked(call, ReadMoved)
        driver = offered(self._drivers.get(vm.hypervisor), MovingCapability)

        def work(stream: Stream) -> None:
            left = wanted.length
            for chunk in driver.moved_file(vm.id, wanted.file, wanted.first):
                stream.write(chunk[:left])
                if not (left := max(0, left - len(chunk))):
                    break
            stream.end()

        return self._serve(call, wanted.stream, work)

    def _driver(self, vm: VmSpec) -> files.FilesCapability:
        return offered(self._drivers.get(vm.hypervisor), files.FilesCapability)

    def _serve(self, call: Call, stream_id: str, work: Any) -> JSON:
        self._streams.serve(stream_id, vm_of(call).owner, work)
        return {}

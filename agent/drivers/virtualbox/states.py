"""VirtualBox's names of VM states, in both spellings, and Corral's names for them."""

from __future__ import annotations

from agent.drivers.capabilities import saving
from core.contract.states import Observed

# https://www.virtualbox.org/sdkref/_virtual_box_8idl.html: MachineState, as VBoxManage spells it, short and long.
_WORDS = {
    Observed.STOPPED: ("poweroff", "powered off", "saved", "teleported", "starting", "restoring", "setting up"),
    Observed.RUNNING: (
        "running",
        "livesnapshotting",
        "live snapshotting",
        "teleporting",
        "stopping",
        "saving",
        "onlinesnapshotting",
        "online snapshotting",
        "deletingsnapshotlive",
        "deleting snapshot live",
    ),
    Observed.PAUSED: (
        "paused",
        "teleportingpausedvm",
        "teleporting paused vm",
        "deletingsnapshotlivepaused",
        "deleting snapshot live paused",
    ),
    Observed.CRASHED: ("aborted", "aborted-saved", "gurumeditation", "guru meditation"),
}
_STATES = {word: state for state, words in _WORDS.items() for word in words}
BUSY = ("starting", "restoring")  # with a process, and soon on or off
SAVED = ("saved", "aborted-saved")
STUCK = ("gurumeditation", "guru meditation")
REASONS = {
    "saved": saving.SAVED,
    "aborted": "its VirtualBox process ended without an error message",
    "aborted-saved": "its VirtualBox process ended while it resumed from its saved state",
    "gurumeditation": "VirtualBox stopped the VM after an internal error (guru meditation); see VBox.log",
    "guru meditation": "VirtualBox stopped the VM after an internal error (guru meditation); see VBox.log",
}


def observed(word: str) -> Observed:
    """What VirtualBox's word means to us. A word of a later VirtualBox is taken for off: nothing is promised of it."""
    return _STATES.get(word, Observed.STOPPED)

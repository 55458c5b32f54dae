"""The double answers as the real one did; and where the real one is installed and may use KVM, as it does today."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import doubles
from tests.cloud_hypervisor import conversing

ANSWERS: dict[str, Any] = json.loads(conversing.RECORDED.read_text())


@pytest.mark.parametrize("name", conversing.CONVERSATIONS)
def test_the_double_answers_as_the_real_one_did(name: str, tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"no kernel at all")
    with conversing.serving(str(doubles.PROGRAM), kernel) as folder:
        assert conversing.answers(folder, conversing.CONVERSATIONS[name]) == ANSWERS[name]


@pytest.mark.parametrize("name", conversing.CONVERSATIONS)
def test_the_real_one_answers_as_it_did(name: str) -> None:
    program, kernel = shutil.which("cloud-hypervisor"), conversing.kernel()
    if program is None:
        pytest.skip("Cloud Hypervisor is not installed here")
    if kernel is None or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip("this takes KVM, and an image with a kernel: make image")
    with conversing.serving(program, kernel) as folder:
        assert conversing.answers(folder, conversing.CONVERSATIONS[name]) == ANSWERS[name]

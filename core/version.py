"""Corral's version, said once: packaging and the API read it here."""

from __future__ import annotations

VERSION = "0.1.0"

"""Corral's version, said once: packaging and the API read it here. And what of former releases this one works with."""

from __future__ import annotations

VERSION = "0.1.0"
OLDEST_SCHEMA = "0001"
"""The oldest tables that this release brings up to date: its number in migrations/versions."""

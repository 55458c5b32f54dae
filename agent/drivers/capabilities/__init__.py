"""Capabilities: groups of verbs that some drivers have, with their data."""

"""Talks to the guest inside a VM."""

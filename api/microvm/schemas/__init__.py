"""The bodies of the microvm document."""

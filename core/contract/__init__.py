"""The messages between control plane and agents."""

"""The control plane without its transports."""

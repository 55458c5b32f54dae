"""The host: its capacity, usage, health and heartbeat, observed in the background and sent when they change."""

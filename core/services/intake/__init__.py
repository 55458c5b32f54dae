"""Intake: reports, inventories and heartbeats of hosts are recorded; sweeps look for those that are late."""

"""Hosts by the hundred in one process: they speak to the control plane as agents do, and have no hypervisor.

What is real: each host's account in Redis, its heartbeats, lease, inventories, usage and reports, its commands and
calls, all in the contract's own types. What is not: a VM is a word, an operation takes no time unless it is told to,
and nothing is kept over a restart. Celery's own events, which Flower shows, are not sent.
"""

"""Identities of hosts: the accounts of their agents, and joining."""

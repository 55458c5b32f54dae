"""Joining: a machine becomes a host, and keeps the file that makes it one."""

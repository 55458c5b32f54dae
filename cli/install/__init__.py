"""`corral install`: systemd's units on a Debian machine."""

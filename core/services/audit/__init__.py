"""The audit log: who did what, written once with what was done, and chained so that nobody can change it."""

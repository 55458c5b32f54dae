"""The audit log: written with the change that it is about, and chained so that nobody can alter it."""

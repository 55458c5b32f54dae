"""The operating system under an agent: programs, users, control groups, sockets, threads, a key at rest."""

"""What an agent needs of the operating system: programs, users, control groups, sockets, threads, a key at rest."""

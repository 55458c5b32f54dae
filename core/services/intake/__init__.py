"""What arrives from hosts, recorded: reports, inventories and heartbeats; and sweeps for what should have arrived."""

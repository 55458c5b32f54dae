"""Programs of hypervisors that no package registry has."""

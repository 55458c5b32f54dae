"""The lab: whole hypervisor hosts as emulated machines, each with our agent, so that drivers meet the real thing."""

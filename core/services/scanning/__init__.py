"""Security scans: requested, carried out by workers a VM at a time, and summed up."""

"""Security scans: asked for, worked through by the workers a VM at a time, and summed up."""

"""Reports to the control plane: written to disk first, then sent, without paths of the host."""

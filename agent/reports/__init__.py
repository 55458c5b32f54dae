"""What a host says to the control plane: written to disk first, then sent, without its own paths."""

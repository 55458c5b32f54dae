"""What the control plane and the agents say to each other; standard library only."""

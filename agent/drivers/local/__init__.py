"""What drivers share whose VMs are processes of this host, each with a folder: its files, its lock, its layers."""

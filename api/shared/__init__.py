"""What both dialects offer alike, each in its own shape; written once."""

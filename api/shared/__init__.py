"""The resources of both dialects, each in its own shape; written once."""

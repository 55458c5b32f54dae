"""Images that this host gets from its fleet: kept by content, pulled once, and where they are pulled from."""

"""Authentication: tokens, API keys, roles."""

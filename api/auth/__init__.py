"""Who is calling: tokens, API keys, roles."""

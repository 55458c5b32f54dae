"""Speaks HTTP and WebSocket, in two dialects; no rule lives here."""

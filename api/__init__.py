"""The API: HTTP and WebSocket, in two dialects; the rules are in core."""

"""Realtime: WebSockets of events and consoles, held requests, and the replies of hosts, in an API process."""

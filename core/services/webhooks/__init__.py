"""Webhooks: URLs that users have their events sent to, as https://www.standardwebhooks.com says."""

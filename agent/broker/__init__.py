"""An agent's way to Redis: its own connection, and the Celery worker that reads its host's queue."""

"""A whole fleet on one machine: private PostgreSQL and Redis, API, worker, agents and Flower, watched over."""

"""The OpenAPI documents: shown as pages, and written into the repository."""

"""What all resources of both dialects are made of: decorators, schemas, fields, paging, waiting, idempotency."""

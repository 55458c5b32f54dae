"""The basis of the resources of both dialects: decorators, schemas, fields, paging, waiting, idempotency."""

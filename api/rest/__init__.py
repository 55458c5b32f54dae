"""What all resources of both dialects share: errors, paging, waiting, idempotency, limits, said once."""

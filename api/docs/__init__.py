"""The front page, and the pages of the OpenAPI documents."""

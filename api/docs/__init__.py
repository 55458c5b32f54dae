"""Where somebody who knows only the address goes on: the front page, and the pages of the OpenAPI documents."""

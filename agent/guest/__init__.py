"""The guest agent: everything that the host agent does inside a guest."""

"""The page of error texts is what the code says."""

from __future__ import annotations

from tests.suite import error_texts


def test_the_page_has_the_texts_of_the_code() -> None:
    again = "run `python -m tests.suite.error_texts`, and read what has changed as a caller would"
    assert error_texts.PAGE.read_text() == error_texts.page(), again


def test_no_text_speaks_to_the_authors() -> None:
    """Words that mean something only to who wrote the code, or nothing at all."""
    private = ("heard of", "as it was told", " told ", "whoever", "those who", " ours", "has to show")
    found = [line for line in error_texts.page().splitlines() if any(word in line for word in private)]
    assert found == []

"""The page of error texts is what the code says."""

from __future__ import annotations

from tests.suite import error_texts


def test_the_page_has_the_texts_of_the_code() -> None:
    again = "run `python -m tests.suite.error_texts`, and read what has changed as a caller would"
    assert error_texts.PAGE.read_text() == error_texts.page(), again

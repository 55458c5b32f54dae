"""Labels in bodies and queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, validate

from api.rest.fields import Pattern, TextField
from core import labels
from core.contract.errors import Invalid

_LONGEST_TERMS = 500  # of a query: the whole line of a request has 8190 bytes
LABELS = validate.Length(max=labels.MOST, error="must be at most {max}")


def given(*, allow_none: bool = False, **kwargs: Any) -> fields.Dict:
    """Labels by key; with `allow_none`, null takes one away."""
    return fields.Dict(
        keys=TextField(validate=Pattern(labels.KEY, labels.KEY_SAYS), longest=labels.LONGEST_KEY),
        values=TextField(validate=Pattern(labels.VALUE, labels.VALUE_SAYS), longest=63, allow_none=allow_none),
        validate=LABELS,
        **kwargs,
    )


class TermsField(TextField):
    """What labels are to be, in one text, as "zone=a,disk!=hdd,!old"."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            longest=_LONGEST_TERMS, metadata={"description": "such as zone=a,disk!=hdd,fast,!old"}, **kwargs
        )

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return labels.terms(text)
        except Invalid as error:
            raise ValidationError(error.message) from None

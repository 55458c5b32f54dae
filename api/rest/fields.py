"""Fields as strict as the documents: a number is not a string, a text has no NUL, a time is UTC to the second."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import ValidationError, fields, validate
from werkzeug.datastructures import FileStorage

from api.web.requests import is_clean
from api.web.uploads import Upload
from core.contract import texts

LONGEST_TEXT = 4096
_DIGITS = re.compile(r"-?[0-9]+")


_WORDS = {"required": "is required", "null": "must not be null"}
fields.Field.default_error_messages.update(_WORDS)


class TextField(fields.String):
    """A string that PostgreSQL can hold."""

    def __init__(self, *, longest: int = LONGEST_TEXT, shortest: int = 0, **kwargs: Any) -> None:
        validators = kwargs.pop("validate", None) or []
        checks = validators if isinstance(validators, list) else [validators]
        super().__init__(validate=[*checks, Length(min=shortest or None, max=longest)], **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not is_clean(text):
            raise ValidationError("must not contain NUL or unpaired surrogates")
        return str(text)


class GuestTextField(TextField):
    """A text that a guest can be sent (core/contract/texts.py); `longest` is in bytes, which characters are at most."""

    def __init__(self, *, longest: int, **kwargs: Any) -> None:
        metadata = {"description": f"at most {longest:,} bytes as UTF-8", **kwargs.pop("metadata", {})}
        super().__init__(longest=longest, metadata=metadata, **kwargs)
        self._most_bytes = longest

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if texts.too_long(text, self._most_bytes):
            raise ValidationError(f"must have at most {self._most_bytes} bytes as UTF-8")
        if (bad := texts.unsendable(text)) is not None:
            raise ValidationError(f"must not contain {bad}, which is not a valid character")
        return text


class ChoiceField(fields.String):
    """One of a few words."""

    def __init__(self, *words: str, **kwargs: Any) -> None:
        super().__init__(validate=validate.OneOf(words, error=f"must be one of {', '.join(words)}"), **kwargs)


class NumberField(fields.Integer):
    """A whole number between bounds; a string is none, but in a query, where all are: of plain digits then."""

    def __init__(self, least: int, most: int, *, strict: bool = True, **kwargs: Any) -> None:
        super().__init__(strict=strict, validate=Between(least, most), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, str) and not _DIGITS.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class RatioField(fields.Float):
    """A number between bounds; a string is none."""

    def __init__(self, least: float, most: float, **kwargs: Any) -> None:
        super().__init__(validate=Between(least, most), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if isinstance(value, str | bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class FlagField(fields.Boolean):
    """true or false and nothing like it."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class MomentField(fields.DateTime):
    """A time, as 2025-10-01T12:00:00Z."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", **kwargs)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else moment(value)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        if not isinstance(value, str):
            raise self.make_error("invalid", input=value, obj_type="datetime")
        try:
            parsed = super()._deserialize(value, attr, data, **kwargs)
            return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
        except OverflowError:  # the first or last day of all, moved to UTC
            raise self.make_error("invalid", input=value, obj_type="datetime") from None


class AddressField(fields.IPv4):
    """An IPv4 address; a number is none."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if not isinstance(value, str):
            raise self.make_error("invalid_ip")
        return str(super()._deserialize(value, attr, data, **kwargs))


class UploadField(fields.Raw):
    """A file of a multipart body, as the `Upload` that it was streamed into."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"type": "string", "format": "binary"}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Upload:
        if not isinstance(value, FileStorage) or not isinstance(value.stream, Upload):
            raise ValidationError("must be a file")
        value.stream.flush()
        return value.stream


class Between(validate.Range):
    """Says which bound was missed as the documents do."""

    def __init__(self, least: float, most: float) -> None:
        super().__init__(min=least, max=most)

    def __call__(self, value: Any) -> Any:
        if value < self.min:
            raise ValidationError(f"must be at least {self.min}")
        if value > self.max:
            raise ValidationError(f"must be at most {self.max}")
        return value


class Within(Between):
    """Names both bounds."""

    def __call__(self, value: Any) -> Any:
        if not self.min <= value <= self.max:
            raise ValidationError(f"must be between {self.min} and {self.max}")
        return value


class Length(validate.Length):
    """Says which bound was missed."""

    message_min = "must not be empty"
    message_max = "must have at most {max} characters"
    message_all = "must have {min} to {max} characters"


class Pattern(validate.Regexp):
    """The whole text matches; `says` is for people."""

    def __init__(self, regex: re.Pattern[str], says: str) -> None:
        super().__init__(re.compile(f"^{regex.pattern}$"), error=says)
        self._whole = regex

    def __call__(self, value: Any) -> Any:
        if not self._whole.fullmatch(value):
            raise ValidationError(str(self.error))
        return value


def moment(value: datetime) -> str:
    """A time as all answers write it."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def computed(kind: type[fields.Field[Any]], of: Callable[[Any], Any], **kwargs: Any) -> fields.Field[Any]:
    """A field of that kind whose value is `of(object)`."""

    class Computed(kind):  # type: ignore[misc, valid-type]
        def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = None) -> Any:
            return of(obj)

    return Computed(required=True, **kwargs)

"""Strict JSON Lines or one JSON array, plain or gzipped: its records, or a reason why not.

Knows nothing of prompts or pairs. Stricter than ``json.loads``: NaN, infinities, doubled keys,
NUL, half surrogate pairs and deep nesting are refused, since some part further on would
choke on them or, worse, change them.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast

from django.utils.translation import gettext as _

from annotate.content.prompts import unstorable
from annotate.formatting import grouped
from annotate.importing.refusal import FieldError, Problems

MAX_LINES = 1_000_000
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_BYTES = 2 * 1024 * 1024 * 1024
MAX_DEPTH = 20
MAX_ARRAY_BYTES = 256 * 1024 * 1024
"""A JSON array is held in memory as a whole; JSON Lines are not."""

PEEKED = 64 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Record = dict[str, Any]


def read_records(
    file: IO[bytes], problems: Problems, *, max_bytes: int = MAX_BYTES
) -> Iterator[tuple[int, Record]]:
    """Line numbers (from 1) and records of ``file``; what is wrong goes to ``problems``.

    Gzip is recognised by its first bytes and unpacked on the way, never beyond ``max_bytes``.
    A byte-order mark and blank lines are passed over; a record of an array has the number of the
    line that it begins on. ``file`` must be seekable.
    """
    beginning = _beginning(file)
    if reason := _other_format(beginning):
        problems.refuse_file(reason)
        return
    if beginning.lstrip().startswith(b"["):
        yield from _records_of_array(file, problems, min(max_bytes, MAX_ARRAY_BYTES))
        return
    records = False
    for number, line in _lines(file, problems, max_bytes):
        if not line.strip():
            continue
        records = True
        problems.at(number, line)
        try:
            yield number, parse_record(line)
        except FieldError as error:
            problems.add(number, error.field, error.reason)
    if not records and not problems.total:
        problems.refuse_file(_("is empty"))


def _beginning(file: IO[bytes]) -> bytes:
    """The first bytes of ``file``, unpacked; none where they cannot be."""
    try:
        return _unpacked(file).read(PEEKED).removeprefix(BYTE_ORDER_MARK)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return b""  # said where the lines are read


def _other_format(beginning: bytes) -> str:
    """What to do with a file that is no JSON; empty where it may be some."""
    if beginning.startswith(b"PAR1"):
        return _(
            "is a Parquet file. Write it as JSON Lines, for example with "
            "pandas.read_parquet(file).to_json(name, orient='records', lines=True)"
        )
    if beginning.startswith(b"PK\x03\x04"):
        return _("is a ZIP archive. Unpack it and import the files in it one by one")
    first = beginning.strip().split(b"\n", 1)[0].strip()
    is_table = not first.startswith((b"{", b"[")) and first.count(b",") + first.count(b"\t") > 0
    if is_table and b"\n" in beginning.strip():
        return _(
            "looks like a CSV table (it begins with “%(heading)s”). Write it as JSON Lines, for "
            "example with pandas.read_csv(file).to_json(name, orient='records', lines=True)"
        ) % {"heading": first.decode(errors="replace")[:60]}
    return ""


def _records_of_array(
    file: IO[bytes], problems: Problems, max_bytes: int
) -> Iterator[tuple[int, Record]]:
    """The records of a file that is one JSON array."""
    try:
        content = _unpacked(file).read(max_bytes + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        problems.refuse_file(_("the gzip data is damaged or cut off here"))
        return
    if len(content) > max_bytes:
        reason = _("is a JSON array of more than %(most)s bytes. Write it as JSON Lines")
        problems.refuse_file(reason % {"most": grouped(max_bytes)})
        return
    try:
        text = content.removeprefix(BYTE_ORDER_MARK).decode()
    except UnicodeDecodeError as error:
        problems.refuse_file(_("is not UTF-8 (byte %(place)s)") % {"place": error.start + 1})
        return
    decoder, blank = json.JSONDecoder(), re.compile(r"[\s,]*")
    place, number, records = text.index("[") + 1, 1 + text.count("\n", 0, text.index("[")), 0
    while True:
        following = blank.match(text, place).end()  # type: ignore[union-attr]
        number += text.count("\n", place, following)
        if following < len(text) and text[following] == "]":
            break
        try:
            _value, end = decoder.raw_decode(text, following)
        except (json.JSONDecodeError, RecursionError, ValueError) as error:
            reason = _("is not JSON: %(problem)s (column %(column)s)")
            column = following - text.rfind("\n", 0, following)
            values = {"problem": getattr(error, "msg", error), "column": column}
            problems.refuse_file(reason % values, number=number)
            return
        records += 1
        record = text[following:end].encode()
        problems.at(number, record)
        try:
            yield number, parse_record(record)
        except FieldError as error:
            problems.add(number, error.field, error.reason)
        number += text.count("\n", following, end)
        place = end
    if text[following + 1 :].strip():
        problems.refuse_file(_("has something behind the array"), number=number)
    elif not records:
        problems.refuse_file(_("is empty"))


def _lines(file: IO[bytes], problems: Problems, max_bytes: int) -> Iterator[tuple[int, bytes]]:
    stream = _unpacked(file)
    number = size = 0
    try:
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            size += len(line)
            if number == 1:
                line = line.removeprefix(BYTE_ORDER_MARK)
            if too_long := len(line) > MAX_LINE_BYTES:
                reason = _("longer than %(most)s bytes")
                problems.refuse_file(reason % {"most": grouped(MAX_LINE_BYTES)}, number=number)
            while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE_BYTES + 1)
                size += len(line)
                if size > max_bytes:
                    break
            if size > max_bytes:
                reason = _("holds more than %(most)s bytes once unpacked")
                problems.refuse_file(reason % {"most": grouped(max_bytes)})
                return
            if number > MAX_LINES:
                reason = _("has more than %(most)s lines; split it")
                problems.refuse_file(reason % {"most": grouped(MAX_LINES)})
                return
            if not too_long:
                yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error):
        reason = _("the gzip data is damaged or cut off here")
        problems.refuse_file(reason, number=number + 1)


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    is_gzip = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast(IO[bytes], gzip.GzipFile(fileobj=file)) if is_gzip else file


def parse_record(line: bytes) -> Record:
    """The JSON object on ``line``. Raises FieldError."""
    try:
        value = json.loads(
            line.rstrip().decode(),
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except UnicodeDecodeError as error:
        reason = _("is not UTF-8 (byte %(place)s)") % {"place": error.start + 1}
        raise FieldError("", reason) from error
    except json.JSONDecodeError as error:
        reason = _("is not JSON: %(problem)s (column %(column)s)")
        raise FieldError("", reason % {"problem": error.msg, "column": error.colno}) from error
    except RecursionError as error:
        raise FieldError("", _("is nested too deeply")) from error
    except FieldError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise FieldError("", _("has a number that is too long")) from error
    if not isinstance(value, dict):
        raise FieldError("", _("must be one JSON object, with its keys in { }"))
    _check_text(value, "", 0)
    return value


def _object(pairs: list[tuple[str, Any]]) -> Record:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise FieldError(doubled[:50], _("is listed twice"))
    return record


def _no_constant(name: str) -> None:
    raise FieldError("", _("%(name)s is not a number in JSON") % {"name": name})


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise FieldError("", _("the number %(digits)s is too large") % {"digits": digits[:20]})
    return number


def _check_text(value: Any, place: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise FieldError("", _("is nested too deeply"))
    if isinstance(value, str):
        if problem := unstorable(value):
            raise FieldError(place, problem)
    elif isinstance(value, dict):
        for key, item in value.items():
            if unstorable(key):
                reason = _("has a key with a NUL character or half a surrogate pair")
                raise FieldError(place, reason)
            _check_text(item, f"{place}.{key}" if place else key, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_text(item, f"{place}[{index}]", depth + 1)

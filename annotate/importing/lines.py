"""Strict JSON Lines, plain or gzipped: a record a line, or a reason why not.

Knows nothing of prompts or pairs. Stricter than ``json.loads``: NaN, infinities, doubled keys,
NUL, half surrogate pairs and deep nesting are refused, since some part further on would
choke on them or, worse, change them.
"""

from __future__ import annotations

import gzip
import json
import math
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

Record = dict[str, Any]


def read_records(
    file: IO[bytes], problems: Problems, *, max_bytes: int = MAX_BYTES
) -> Iterator[tuple[int, Record]]:
    """Line numbers (from 1) and records of ``file``; what is wrong goes to ``problems``.

    Gzip is recognised by its first bytes and unpacked on the way, never beyond ``max_bytes``.
    A byte-order mark and blank lines are passed over. ``file`` must be seekable.
    """
    records = False
    for number, line in _lines(file, problems, max_bytes):
        if not line.strip():
            continue
        records = True
        try:
            yield number, parse_record(line)
        except FieldError as error:
            problems.add(number, error.field, error.reason)
    if not records and not problems.total:
        problems.add(0, "", _("is empty"))


def _lines(file: IO[bytes], problems: Problems, max_bytes: int) -> Iterator[tuple[int, bytes]]:
    stream = _unpacked(file)
    number = size = 0
    try:
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            size += len(line)
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if too_long := len(line) > MAX_LINE_BYTES:
                reason = _("longer than %(most)s bytes")
                problems.add(number, "", reason % {"most": grouped(MAX_LINE_BYTES)})
            while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE_BYTES + 1)
                size += len(line)
                if size > max_bytes:
                    break
            if size > max_bytes:
                reason = _("holds more than %(most)s bytes once unpacked")
                problems.add(0, "", reason % {"most": grouped(max_bytes)})
                return
            if number > MAX_LINES:
                reason = _("has more than %(most)s lines; split it")
                problems.add(0, "", reason % {"most": grouped(MAX_LINES)})
                return
            if not too_long:
                yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error):
        problems.add(number + 1, "", _("the gzip data is damaged or cut off here"))


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

"""JSON Lines are read strictly; every bad line is named."""

import gzip
import io

import pytest

from annotate.importing import lines
from annotate.importing.lines import read_records
from annotate.importing.refusal import ImportRefused, Problems


def read(content: bytes, **options):
    problems = Problems()
    records = list(read_records(io.BytesIO(content), problems, **options))
    return records, [str(line) for line in problems.lines]


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b'{"a": 1}\n{"a": 2}\n', [(1, {"a": 1}), (2, {"a": 2})]),
        (b'{"a": 1}', [(1, {"a": 1})]),
        (b'\n\n{"a": 1}\n   \n', [(3, {"a": 1})]),
        (b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}\r\n', [(1, {"a": 1}), (2, {"a": 2})]),
        ('{"a": "naïve 👍"}'.encode(), [(1, {"a": "naïve 👍"})]),
        (b'{"a": "\\ud83d\\udc4d"}', [(1, {"a": "👍"})]),
        ('{"a": "one\u2028line"}'.encode(), [(1, {"a": "one\u2028line"})]),
    ],
)
def test_good_lines(content, records):
    assert read(content) == (records, [])


def test_gzip_is_recognised_by_content():
    assert read(gzip.compress(b'{"a": 1}\n')) == ([(1, {"a": 1})], [])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a": 1', "is not JSON: Expecting ',' delimiter (column 8)"),
        (b"hello", "is not JSON: Expecting value (column 1)"),
        (b"[1]", "must be one JSON object, with its keys in { }"),
        (b'"text"', "must be one JSON object, with its keys in { }"),
        (b"null", "must be one JSON object, with its keys in { }"),
        (b'{"a": NaN}', "NaN is not a number in JSON"),
        (b'{"a": -Infinity}', "-Infinity is not a number in JSON"),
        (b'{"a": 1e999}', "the number 1e999 is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "has a number that is too long"),
        (b'{"a": 1, "a": 2}', "a: is listed twice"),
        (b'{"x": {"a": 1, "a": 2}}', "a: is listed twice"),
        (b'{"a": "\\u0000"}', "a: has a NUL character"),
        (b'{"a": {"b": ["", "\\ud800"]}}', "a.b[1]: has half of a surrogate pair"),
        (b'{"\\udfff": 1}', "has a key with a NUL character or half a surrogate pair"),
        (b'{"a": "\xff"}', "is not UTF-8 (byte 8)"),
        ('{"a": 1}'.encode("utf-16"), "is not UTF-8 (byte 1)"),
        (b'{"a": ' + b"[" * 100_000, "is nested too deeply"),
        (b'{"a": ' + b"[" * 30 + b"]" * 30 + b"}", "is nested too deeply"),
    ],
)
def test_bad_lines_are_named_with_their_reason(line, problem):
    records, problems = read(b'{"a": 1}\n' + line + b'\n{"a": 3}')
    assert records == [(1, {"a": 1}), (3, {"a": 3})]
    assert problems == [f"line 2: {problem}"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_said_to_be_empty(content):
    assert read(content) == ([], ["the file: is empty"])


def test_an_overlong_line_is_named_and_passed_over(monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    records, problems = read(b'{"a": 1}\n"' + b"x" * 1000 + b'"\n{"a": 3}\n')
    assert records == [(1, {"a": 1}), (3, {"a": 3})]
    assert problems == ["line 2: longer than 100 bytes"]


def test_a_line_of_the_greatest_length_is_taken(monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 9)
    assert read(b'{"a": 1}\n{"a": 2}\n')[1] == []


def test_a_gzip_bomb_is_left_off():
    bomb = gzip.compress(b" " * 20_000_000)
    records, problems = read(bomb, max_bytes=1_000_000)
    assert records == []
    assert problems[-1] == "the file: holds more than 1,000,000 bytes once unpacked"


@pytest.mark.parametrize("spoil", [lambda b: b[:-20], lambda b: b[:30] + b"\0\0\0" + b[33:]])
def test_a_damaged_gzip_is_said_to_be_damaged(spoil):
    content = gzip.compress(b"".join(b'{"a": "%d"}\n' % number for number in range(1000)))
    assert "damaged or cut off" in read(spoil(content))[1][-1]


def test_too_many_lines_are_refused(monkeypatch):
    monkeypatch.setattr(lines, "MAX_LINES", 3)
    assert read(b'{"a": 1}\n' * 4)[1] == ["the file: has more than 3 lines; split it"]


def test_the_first_fifty_are_named_and_all_are_counted():
    problems = Problems()
    list(read_records(io.BytesIO(b"x\n" * 120), problems))
    with pytest.raises(ImportRefused) as caught:
        problems.refuse_if_any()
    assert [line.number for line in caught.value.lines] == list(range(1, 51))
    assert caught.value.summary == (
        "Nothing was imported: 120 bad lines, the first 50 of them here."
    )

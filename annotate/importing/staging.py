"""From a file to checked records: first all of it is read, then batches of it are stored.

Checked records wait in a temporary file, so memory stays bounded, and whatever takes time
(such as rendering) happens on the way into it, before any transaction: raters wait for no more
than the inserts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO, Any, TypeVar

from django.utils.translation import gettext as _

from annotate.content.completions import BATCH
from annotate.importing.lines import Record, read_records
from annotate.importing.refusal import FieldError, Problems
from annotate.models import Policy, Project

SPOOL_MEMORY = 8 * 1024 * 1024

Item = TypeVar("Item")
CheckedRow = tuple[int, dict[str, Any]]
"""A checked record as plain data, with its line's number."""


@contextmanager
def checked_rows(
    file: IO[bytes],
    *,
    read: Callable[[Record], Item],
    as_data: Callable[[Item], dict[str, Any]],
    max_bytes: int,
    problems: Problems,
) -> Iterator[Callable[[], Iterator[list[CheckedRow]]]]:
    """Read all of ``file``, then give a function that walks through its rows in batches.

    ``as_data`` gives JSON-ready data. Raises ImportRefused where a line is bad, unless
    ``problems`` skips it.
    """
    with SpooledTemporaryFile(SPOOL_MEMORY, "w+", encoding="utf-8", newline="\n") as spool:
        for number, record in read_records(file, problems, max_bytes=max_bytes):
            try:
                item = read(record)
            except FieldError as error:
                problems.add(number, error.field, error.reason)
            else:
                if not problems.total:
                    spool.write(json.dumps([number, as_data(item)]) + "\n")
        problems.refuse_if_any()

        def batches() -> Iterator[list[CheckedRow]]:
            spool.seek(0)
            rows = (tuple(json.loads(line)) for line in spool)
            while batch := list(islice(rows, BATCH)):
                yield batch

        yield batches


def policy_for(project: Project, slug: str, **attributes: Any) -> Policy:
    """The import policy of that slug, made where it is new. Raises ImportRefused."""
    policy = Policy.objects.get_or_create(
        project=project, slug=slug, defaults={"kind": Policy.Kind.IMPORT, **attributes}
    )[0]
    if policy.kind != Policy.Kind.IMPORT:
        problems = Problems()
        reason = _("the project has a policy “%(policy)s” that is not an import")
        problems.add(0, "", reason % {"policy": slug})
        problems.refuse_if_any()
    return policy

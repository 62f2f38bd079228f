"""What a text shows of itself: whether it goes round in circles, whether it refuses."""

from __future__ import annotations

import re

LOOP_OF = 4


LOOPS_FROM = 12


def loops(text: str) -> bool:
    """Whether more than half of an answer's runs of four words have stood in it before."""
    words = text.lower().split()
    if len(words) < LOOPS_FROM:
        return False
    runs = [tuple(words[start : start + LOOP_OF]) for start in range(len(words) - LOOP_OF + 1)]
    return 2 * (len(runs) - len(set(runs))) > len(runs)


_REFUSAL = re.compile(
    r"""^\W*(?:
      (?:i['’]?m|i\ am)\ (?:really\ |very\ |so\ )?(?:sorry|unable|not\ able|not\ going\ to|afraid)
    | sorry\b
    | i\ (?:can(?:not|['’]t|\ not)|won['’]t|will\ not|must\ decline|refuse|don['’]t\ want)\b
    | i\ do\ not\ want\b
    | as\ an?\ (?:ai|language\ model|assistant)\b
    | (?:es\ )?tut\ mir\ leid | entschuldigung
    | (?:das\ )?(?:kann|darf|werde|will)\ ich\ (?:\w+\ ){0,3}nicht
    | ich\ (?:kann|darf|werde|will)\ (?:\w+\ ){0,3}nicht
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def refuses(text: str) -> bool:
    """Whether an answer begins as refusals begin, in English or German. A rough measure."""
    return bool(_REFUSAL.match(text))

"""The rater's side of the queue: the next card, the verdict, the undo.

Every step is safe against two tabs, two clicks and two processes: slots and leases are
taken by filtered updates whose row count is looked at, and the database's constraints
refuse the rest.
"""

from annotate.serving.cards import CannotRenew, card_of, renew_lease, serve_ahead, serve_next
from annotate.serving.deciding import UnknownJudgement, Verdict, record_verdict
from annotate.serving.history import (
    SHOWN,
    CannotUndo,
    Past,
    can_undo,
    last_verdicts,
    reopen_verdict,
    undo_last,
)
from annotate.serving.slots import release_expired
from annotate.serving.telling import Empty, Explainer, decided_today, explainers, why_empty

__all__ = [
    "SHOWN",
    "CannotRenew",
    "CannotUndo",
    "Empty",
    "Explainer",
    "Past",
    "UnknownJudgement",
    "Verdict",
    "can_undo",
    "card_of",
    "decided_today",
    "explainers",
    "last_verdicts",
    "record_verdict",
    "release_expired",
    "renew_lease",
    "reopen_verdict",
    "serve_ahead",
    "serve_next",
    "undo_last",
    "why_empty",
]

"""The annotation side's tables, with the rules that the database itself holds."""

from annotate.models.comparisons import Comparison, Judgement, PairsFirst, PreferencePair
from annotate.models.content import Completion, Message, Policy, Prompt, ScreeningRule
from annotate.models.items import GoldItem, PracticeAnswer, PracticeItem
from annotate.models.line_ups import LineUp, LineUpPlace, Ordering
from annotate.models.people import Arrival, Consent, Departure, Invitation, ProjectText
from annotate.models.projects import Membership, Project, User

__all__ = [
    "Arrival",
    "Comparison",
    "Completion",
    "Consent",
    "Departure",
    "GoldItem",
    "Invitation",
    "Judgement",
    "LineUp",
    "LineUpPlace",
    "Membership",
    "Message",
    "Ordering",
    "PairsFirst",
    "Policy",
    "PracticeAnswer",
    "PracticeItem",
    "PreferencePair",
    "Project",
    "ProjectText",
    "Prompt",
    "ScreeningRule",
    "User",
]

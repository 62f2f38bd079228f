"""The training side's tables. A row is the job; the Celery message is only a nudge."""

from training.models.endpoints import Endpoint, Usage, cost_of
from training.models.exports import HubPush, Merge
from training.models.gates import ChampionTerm, Gate
from training.models.jobs import Job, Machine
from training.models.loop import LoopSettings, loop_of
from training.models.notifications import TEST, Delivery, Event, Recipient
from training.models.playground import Tryout, TryoutAnswer
from training.models.rewards import Score, ScoringJob
from training.models.rounds import Metric, PlanWindow, Round, RoundSample, Snapshot
from training.models.sampling import SamplingJob

__all__ = [
    "TEST",
    "ChampionTerm",
    "Delivery",
    "Endpoint",
    "Event",
    "Gate",
    "HubPush",
    "Job",
    "LoopSettings",
    "Machine",
    "Merge",
    "Metric",
    "PlanWindow",
    "Recipient",
    "Round",
    "RoundSample",
    "SamplingJob",
    "Score",
    "ScoringJob",
    "Snapshot",
    "Tryout",
    "TryoutAnswer",
    "Usage",
    "cost_of",
    "loop_of",
]

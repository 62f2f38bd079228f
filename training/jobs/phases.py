"""What the engine is at, in the reader's words. The engine itself speaks English alone."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

PHASES: dict[str, Promise] = {
    "starting": _("starting"),
    "waiting for the device": _("waiting for the device"),
    "loading libraries": _("loading libraries"),
    "reading data": _("reading data"),
    "loading the model": _("loading the model"),
    "scoring the reference": _("scoring the reference"),
    "scoring": _("scoring"),
    "training": _("training"),
    "evaluating": _("evaluating"),
    "writing samples": _("writing samples"),
    "publishing": _("publishing"),
    "sampling": _("sampling"),
    "merging": _("merging"),
    "uploading": _("uploading"),
    "telling the endpoint of the adapter": _("telling the endpoint of the adapter"),
    "asking the endpoint": _("asking the endpoint"),
    "waiting for the endpoint": _("waiting for the endpoint"),
    "done": _("done"),
    "failed": _("failed"),
    "stopped": _("stopped"),
    "stopped, will continue": _("stopped, will continue"),
    "its worker died; queued again": _("its worker died; queued again"),
    "its engine was killed; queued again": _("its engine was killed; queued again"),
}


STEPPING = ("training", "evaluating", "writing samples")
"""Phases in which a round's steps are steps of training."""


def phase_in_words(phase: str) -> str:
    """A job's phase as it is shown: "starting" for none, one that is not known as it is."""
    return str(PHASES.get(phase or "starting", phase))

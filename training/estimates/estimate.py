"""A round's estimate: the pairs' lengths, the machine and past rounds, gathered for preflight."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db.models import Avg, Max, TextField
from django.db.models.functions import Cast, Length
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.formatting import grouped
from annotate.models import Project
from training.engine.config import EngineJob
from training.estimates import cost_model
from training.estimates.cost_model import Change, Lengths, Memory, RoundWork, Settings
from training.estimates.model_shape import find_file, shape_of
from training.jobs import machines
from training.jobs.hardware import Hardware
from training.models import Metric, Round
from training.rounds.pair_selection import PairSelection
from training.rounds.snapshots import chosen_pairs, usable_pairs

SAMPLE = 100
CHARACTERS_A_TOKEN = 4.0
ENDING = 2  # tokens that end an answer; a prompt's are about what its JSON has around its text
BATCH = 1000
PACE = "train/computed_tokens_per_second"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What is expected of a round, and what each figure is seen from. None: not known."""

    pairs: int
    held_out: int
    work: RoundWork
    machine: Hardware | None
    memory: Memory | None
    seconds: float | None
    changes: list[Change]
    bases: list[str]
    refusal: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For the round's row, to be compared with what it took."""
        return {
            "memory": self.memory.total if self.memory else None,
            "seconds": round(self.seconds) if self.seconds is not None else None,
            "tokens": self.work.trained,
            "machine": self.machine.host if self.machine else None,
            "bases": self.bases,
        }


def estimate(
    *, project: Project, job: EngineJob, selection: PairSelection, seed: int, processes: int = 1
) -> Estimate | None:
    """What ``job`` would take on these pairs; None for a kind of job that is not known here."""
    settings = Settings.of(job)
    if settings is None:
        return None
    base, revision = job.model.base, job.model.revision
    lengths = lengths_of(project, selection, seed, base, revision)
    work = cost_model.work_of(lengths, settings)
    machine, shape = machines.newest(), shape_of(base, revision)
    bases = [_length_words(lengths, work)]
    memory = refusal = None
    changes: list[Change] = []
    if machine is None:
        bases.append(
            _(
                "No worker has run anything yet, so its memory and speed are unknown. One is "
                "asked every minute and answers within seconds if it is free."
            )
        )
    elif shape is None:
        bases.append(
            _("The base model's files are not on this machine, so its size is not known here.")
        )
    else:
        memory = cost_model.memory_of(shape, lengths, settings, machine)
        bases.append(_memory_words(memory, machine))
        if not memory.fits:
            changes = cost_model.what_would_fit(shape, lengths, settings, machine)
            refusal = _refusal_words(memory, changes)
    pace, source = _measured_pace(project, base)
    a_step = 0.0
    if pace is None and machine is not None and shape is not None:
        recomputed = memory is not None and memory.checkpointing
        pace = cost_model.pace_from_speed(shape, machine, checkpointing=recomputed)
        a_step = cost_model.STEP
        source = _("time from the worker's measured speed; more accurate after a first round")
    seconds = None
    if pace is not None:
        seconds = cost_model.seconds_of(work, pace, processes, a_step=a_step)
        values = {"source": source, "pace": grouped(round(pace))}
        bases.append(_("%(pace)s tokens a second: %(source)s.") % values)
    return Estimate(
        pairs=len(lengths.train),
        held_out=len(lengths.held_out),
        work=work,
        machine=machine,
        memory=memory,
        seconds=seconds,
        changes=changes,
        bases=bases,
        refusal=refusal,
    )


def lengths_of(
    project: Project, selection: PairSelection, seed: int, base: str, revision: str | None
) -> Lengths:
    """Tokens of the pairs that ``selection`` takes: their characters, by the ratio of a sample
    that the base's own tokenizer counted, where its file is here."""
    taken = None if selection.is_all else chosen_pairs(project, selection, seed=seed)
    rows = (
        usable_pairs(project)
        .annotate(
            prompt_length=Length(Cast("comparison__prompt__messages", TextField())),
            chosen_length=Length("chosen__text"),
            rejected_length=Length("rejected__text"),
        )
        .order_by("pk")
    )
    a_character, basis = _tokens_a_character(project, base, revision)
    train: list[tuple[int, int, int]] = []
    held_out: list[tuple[int, int, int]] = []
    columns = ("pk", "prompt_length", "chosen_length", "rejected_length")
    for pk, *lengths, is_held_out in rows.values_list(
        *columns, "comparison__prompt__is_held_out"
    ).iterator(BATCH):
        if taken is None or pk in taken:
            prompt, chosen, rejected = (round(n * a_character) for n in lengths)
            tree = prompt, chosen + ENDING, rejected + ENDING
            (held_out if is_held_out else train).append(tree)
    return Lengths(train, held_out, "tokenizer" if basis else "characters")


def _tokens_a_character(project: Project, base: str, revision: str | None) -> tuple[float, bool]:
    """The ratio, and whether a tokenizer counted it."""
    path = find_file(base, revision, "tokenizer.json")
    texts = usable_pairs(project).order_by("-pk").values_list("chosen__text", "rejected__text")
    sample = [text for row in texts[:SAMPLE] for text in row]
    characters = sum(map(len, sample))
    if path is None or not characters:
        return 1 / CHARACTERS_A_TOKEN, False
    tokens = sum(len(encoding.ids) for encoding in _tokenizer(path).encode_batch(sample))
    return tokens / characters, True


@lru_cache(maxsize=4)
def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer  # Rust, without torch; loaded only where it is asked

    return Tokenizer.from_file(str(path))


def _measured_pace(project: Project, base: str) -> tuple[float | None, str]:
    """Tokens a second of the project's last round of this base, and where that is from."""
    last = (
        Round.objects.filter(project=project, state=Round.State.SUCCEEDED, config__model__base=base)
        .filter(metrics__name=PACE)
        .order_by("-number")
        .first()
    )
    if last is None:
        return None, ""
    seen = Metric.objects.filter(round=last, name=PACE)
    # The mean of paces is not the pace of the whole, but steps are of like size.
    pace = seen.filter(step__gt=1).aggregate(mean=Avg("value"))["mean"]
    pace = pace or seen.aggregate(most=Max("value"))["most"]
    return pace, _("as measured in round %(number)s") % {"number": last.number}


def gib(count: int) -> str:
    """Bytes for people, in GiB."""
    return number_format(count / cost_model.GIB, 1)


def _length_words(lengths: Lengths, work: RoundWork) -> str:
    steps = ngettext("%(steps)s step", "%(steps)s steps", work.steps) % {
        "steps": grouped(work.steps)
    }
    values = {"steps": steps, "tokens": grouped(work.trained)}
    if lengths.basis == "tokenizer":
        return (
            _(
                "%(steps)s over %(tokens)s tokens, counted from the texts' length by the model's "
                "tokenizer on a sample."
            )
            % values
        )
    return _("%(steps)s over about %(tokens)s tokens, at four characters a token.") % values


def _memory_words(memory: Memory, machine: Hardware) -> str:
    where = ", ".join(machine.names) or ngettext(
        "%(cores)s core, no GPU", "%(cores)s cores, no GPU", machine.cores
    ) % {"cores": machine.cores}
    message = _(
        "Memory: the base %(base)s GiB, the adapter with its optimiser %(adapter)s GiB, "
        "%(tokens)s tokens at once %(activations)s GiB, the program itself %(overhead)s GiB. "
        "%(host)s (%(where)s) had %(available)s GiB free when it last worked."
    ) % {
        "base": gib(memory.base),
        "adapter": gib(memory.adapter),
        "tokens": grouped(memory.tokens),
        "activations": gib(memory.activations),
        "overhead": gib(memory.overhead),
        "host": machine.host,
        "where": where,
        "available": gib(memory.available),
    }
    if memory.checkpointing:
        message += " " + _("Activations are recomputed to save memory, which takes longer.")
    return message


def _refusal_words(memory: Memory, changes: list[Change]) -> str:
    message = _("This does not fit: it needs about %(need)s GiB, and %(have)s GiB are free.") % {
        "need": gib(memory.total),
        "have": gib(memory.available),
    }
    if not changes:
        return message + " " + _("No setting helps: take a smaller base model.")
    listed = ", ".join(change_words(change) for change in changes)
    return message + " " + _("It fits with: %(changes)s.") % {"changes": listed}


def change_words(change: Change) -> str:
    """A setting that would fit, as its field is called."""
    if change.field == "max_length":
        return _("a maximum length of %(n)s tokens") % {"n": grouped(int(change.value))}
    if change.field == "lora_r":
        return _("a rank of %(n)s") % {"n": change.value}
    return _("the base in 4 bits")

"""A project's settings as forms, with help in plain words beside each field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotate.models import Policy, Project
from training.models import LoopSettings
from training.policies.pool import MOST_WEIGHT


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]
    """The project itself; what raters see is in annotate.forms.project."""

    class Meta:
        model = Project
        fields = ["name", "held_out_percent"]
        labels = {"name": _("Name"), "held_out_percent": _("Held-out prompts, in per cent")}
        help_texts = {
            "name": _("Shown to everybody in the project."),
            "held_out_percent": _(
                "Share of the prompts that no round ever trains on, so that progress is measured "
                "on questions the model has not seen. Holds for prompts imported from now on."
            ),
        }


class NewProjectForm(ProjectForm):
    """The few things a project must know before the first import."""

    base_model = forms.CharField(
        max_length=500,
        required=False,
        label=_("Base model"),
        help_text=_(
            "The model to sharpen: a Hugging Face name such as Qwen/Qwen2.5-0.5B-Instruct, or a "
            "folder on the server. Leave it empty to compare imported responses only."
        ),
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "none"}),
    )
    field_order = ["name", "slug", "base_model", "guidelines"]

    class Meta(ProjectForm.Meta):
        fields = ["name", "slug", "guidelines", "judgements_wanted", "held_out_percent"]
        labels = {
            **ProjectForm.Meta.labels,
            "slug": _("Short name"),
            "guidelines": _("Guidelines"),
            "judgements_wanted": _("Judgements for each comparison"),
        }
        help_texts = {
            **ProjectForm.Meta.help_texts,
            "guidelines": _(
                "What makes a response better, in a few sentences. Markdown; raters reach it "
                "with one key."
            ),
            "judgements_wanted": _(
                "How many raters judge each comparison. One is the fastest; with three, a "
                "majority decides and disagreement shows. Holds for comparisons made from now on."
            ),
            "slug": _("Part of every address, such as /p/help-desk/. Letters, digits and hyphens."),
        }
        error_messages = {"slug": {"unique": _("Another project has this short name already.")}}

    def loop(self) -> LoopSettings:
        """Unsaved loop settings with what the form asked for."""
        return LoopSettings(base_model=self.cleaned_data["base_model"])


class LinesField(forms.CharField):
    r"""A list of texts, one a line; ``\n`` in a line stands for a line break."""

    widget = forms.Textarea(attrs={"rows": "3", "spellcheck": "false", "autocapitalize": "none"})

    def __init__(self, **settings: Any) -> None:
        super().__init__(strip=False, required=False, max_length=1000, **settings)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return "\n".join(str(line).replace("\n", "\\n") for line in value)

    def to_python(self, value: Any) -> Any:
        lines = str(super().to_python(value) or "").splitlines()
        return [line.replace("\\n", "\n") for line in lines if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != (initial or []))


class LoopForm(forms.ModelForm):  # type: ignore[type-arg]
    """How completions are written and where rounds go on from; when: training.schedule.forms."""

    stop_sequences = LinesField(
        label=_("Stop at"),
        help_text=_(
            "Texts at which an answer ends, one a line, such as Question: or ###. They are no part "
            "of the answer. \\n stands for a line break."
        ),
    )

    class Meta:
        model = LoopSettings
        fields = [
            "base_model",
            "base_revision",
            "completions_per_prompt",
            "temperature",
            "top_p",
            "min_p",
            "repetition_penalty",
            "max_new_tokens",
            "stop_sequences",
            "queue_level",
            "queue_unit",
            "start_from",
            "score_new",
            "meeting",
            "meeting_at_random",
            "promotion",
            "gate_votes",
        ]
        labels = {
            "base_model": _("Base model"),
            "base_revision": _("Revision"),
            "completions_per_prompt": _("Completions for each prompt"),
            "temperature": _("Temperature"),
            "top_p": _("Top-p"),
            "min_p": _("Min-p"),
            "repetition_penalty": _("Repetition penalty"),
            "max_new_tokens": _("Longest completion, in tokens"),
            "queue_level": _("Keep so much in the raters' queue"),
            "queue_unit": _("Counted in"),
            "start_from": _("Each round goes on from"),
            "score_new": _("Give new completions their reward by themselves"),
            "meeting": _("Raters compare first"),
            "meeting_at_random": _("Left to chance, in per cent"),
            "promotion": _("A candidate is promoted by"),
            "gate_votes": _("Meetings a gate waits for at most"),
        }
        help_texts = {
            "base_model": _(
                "A Hugging Face name or a folder on the server. Another model begins a line of "
                "its own: rounds trained on the present one stay, but none goes on from them."
            ),
            "base_revision": _("A branch, tag or commit of that model; empty means its newest."),
            "completions_per_prompt": _(
                "How many answers each policy in the pool writes to each prompt. Two can already "
                "be compared with each other."
            ),
            "temperature": _(
                "How freely answers vary. 1 samples as the model was trained; 0 always takes the "
                "likeliest word, and then two answers of one policy are the same."
            ),
            "top_p": _(
                "Only the likeliest words that together make up this share are considered. 1 "
                "leaves out none."
            ),
            "min_p": _(
                "Words less likely than this share of the likeliest word are left out. 0 leaves "
                "out none; 0.05 is a usual value."
            ),
            "repetition_penalty": _(
                "Above 1, words that stand in the prompt or the answer already get less likely. "
                "1 changes nothing."
            ),
            "max_new_tokens": _("Longer answers are cut off here; a token is about ¾ of a word."),
            "queue_level": _(
                "When less than three quarters of it are left, the pool as it is then writes as "
                "much again, each policy as often as its weight says, so that raters never wait "
                "and rate the newest models. Empty: every policy answers every prompt at once."
            ),
            "queue_unit": _("The pace is that of the last half hour."),
            "start_from": _(
                "The latest policy builds on all that was learnt; the champion on what has proved "
                "itself; the base model forgets and learns anew from all pairs."
            ),
            "score_new": _(
                "By the newest reward model, else by the newest round's implicit reward, whenever "
                "the trainer is free."
            ),
            "meeting": _(
                "Answers that a reward can hardly tell apart teach the next round most; those it "
                "finds furthest apart show soonest where it is wrong. Both wait until new answers "
                "have a reward. Pairs chosen so are trained on, but stay out of the ranking, and "
                "gates never choose."
            ),
            "meeting_at_random": _(
                "So many comparisons are put together without looking at rewards, and lie evenly "
                "among the others: the ranking is made from these, so it stays fair."
            ),
            "promotion": _(
                "A new policy meets the champion on held-out prompts before the raters, who cannot "
                "tell. The gate promotes or retires it once the votes leave no doubt; by a button, "
                "it only says so."
            ),
            "gate_votes": _(
                "A candidate that has not proved better after so many is retired. A policy that "
                "wins 60 % of what is decided needs about 190."
            ),
        }
        widgets = {
            "base_model": forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "none"}),
            "temperature": forms.NumberInput(attrs={"step": "0.05"}),
            "top_p": forms.NumberInput(attrs={"step": "0.05"}),
            "min_p": forms.NumberInput(attrs={"step": "0.01"}),
            "repetition_penalty": forms.NumberInput(attrs={"step": "0.05"}),
        }

    def groups(self) -> list[tuple[str, list[Any]]]:
        """The fields under their headings."""
        writing = [
            "completions_per_prompt",
            "temperature",
            "top_p",
            "min_p",
            "repetition_penalty",
            "max_new_tokens",
            "stop_sequences",
        ]
        queue = ["queue_level", "queue_unit"]
        starting = ["start_from"]
        rewards = ["score_new", "meeting", "meeting_at_random"]
        gate = ["promotion", "gate_votes"]
        names = [
            (gettext("The model"), ["base_model", "base_revision"]),
            (gettext("Completions"), writing),
            (gettext("The raters' queue"), queue),
            (gettext("Rounds"), starting),
            (gettext("Rewards"), rewards),
            (gettext("The gate"), gate),
        ]
        return [(title, [self[name] for name in fields]) for title, fields in names]


class WeightsForm(forms.Form):
    """How often each policy writes: a number a policy, by its slug."""

    def __init__(self, data: Any, *, policies: Iterable[Policy]) -> None:
        super().__init__(data)
        for policy in policies:
            self.fields[policy.slug] = forms.FloatField(
                min_value=0, max_value=MOST_WEIGHT, label=policy.slug
            )

    def words(self) -> str:
        """What is wrong, in a line."""
        return " ".join(f"{name}: {error}" for name, some in self.errors.items() for error in some)

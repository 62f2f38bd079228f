"""A project's settings as forms, with help in plain words beside each field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotate.forms.fields import EscapedLinesField
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
                "Share of prompts that are never trained on, so that progress is measured on "
                "unseen questions. Applies to prompts imported from now on."
            ),
        }


class NewProjectForm(ProjectForm):
    """The few things a project must know before the first import."""

    base_model = forms.CharField(
        max_length=500,
        required=False,
        label=_("Base model"),
        help_text=_(
            "The model to train: a Hugging Face name such as Qwen/Qwen2.5-0.5B-Instruct, or a "
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
                "majority decides and disagreement shows. Applies to new comparisons."
            ),
            "slug": _("Part of every address, such as /p/help-desk/. Letters, digits and hyphens."),
        }
        error_messages = {"slug": {"unique": _("Another project has this short name already.")}}

    def loop(self) -> LoopSettings:
        """Unsaved loop settings with what the form asked for."""
        return LoopSettings(base_model=self.cleaned_data["base_model"])


class LoopForm(forms.ModelForm):  # type: ignore[type-arg]
    """How completions are written and where rounds go on from; when: training.schedule.forms."""

    stop_sequences = EscapedLinesField(
        label=_("Stop sequences"),
        help_text=_(
            "One a line, such as Question: or ###. The answer ends before the first of them. "
            "\\n means a line break."
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
            "queue_level": _("Queue level"),
            "queue_unit": _("Counted in"),
            "start_from": _("Each round starts from"),
            "score_new": _("Score new completions automatically"),
            "meeting": _("Raters compare first"),
            "meeting_at_random": _("Random share, in per cent"),
            "promotion": _("A candidate is promoted by"),
            "gate_votes": _("Comparisons at a gate, at most"),
        }
        help_texts = {
            "base_model": _(
                "A Hugging Face name or a folder on the server. Another model starts its own "
                "line of policies: existing ones stay, but no new round starts from them."
            ),
            "base_revision": _("A branch, tag or commit of that model; empty means the newest."),
            "completions_per_prompt": _(
                "How many answers each policy in the pool writes to each prompt. Two are "
                "enough to compare."
            ),
            "temperature": _(
                "How much answers vary. 1 samples as the model was trained; 0 always takes "
                "the likeliest word, so two answers of one policy are the same."
            ),
            "top_p": _(
                "Only the likeliest words that together reach this share are considered. 1 "
                "considers all."
            ),
            "min_p": _(
                "Words less likely than this share of the likeliest word are left out. 0 "
                "leaves out none; 0.05 is common."
            ),
            "repetition_penalty": _(
                "Above 1, words already in the prompt or answer become less likely. 1 changes "
                "nothing."
            ),
            "max_new_tokens": _("Longer answers are cut off here; a token is about ¾ of a word."),
            "queue_level": _(
                "When less than three quarters are left, the current pool writes that much "
                "again, each policy by its weight, so that raters never wait and rate the "
                "newest models. Empty: every policy answers every prompt at once."
            ),
            "queue_unit": _("The rate is that of the last half hour."),
            "start_from": _(
                "The latest policy builds on everything learnt; the champion on what has "
                "proved itself; the base model starts over and learns from all pairs."
            ),
            "score_new": _(
                "With the newest reward model, else the newest round's implicit reward, "
                "whenever the trainer is free."
            ),
            "meeting": _(
                "Answers with close rewards teach the next round most; those furthest apart "
                "show soonest where the reward is wrong. Both wait until new answers are "
                "scored. Pairs chosen like this are trained on, but left out of the ranking "
                "and never used at gates."
            ),
            "meeting_at_random": _(
                "This share of comparisons is made without looking at rewards and spread "
                "evenly among the others: the ranking uses only these, so it stays fair."
            ),
            "promotion": _(
                "A new policy is compared blind with the champion on held-out prompts. The "
                "gate promotes or retires it once the votes are conclusive, or only "
                "recommends it and leaves the button to a manager."
            ),
            "gate_votes": _(
                "A candidate that has not proved better after this many is retired. A policy "
                "that wins 60 % of decided votes needs about 190."
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
            (gettext("Model"), ["base_model", "base_revision"]),
            (gettext("Completions"), writing),
            (gettext("Rating queue"), queue),
            (gettext("Rounds"), starting),
            (gettext("Rewards"), rewards),
            (gettext("Gate"), gate),
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

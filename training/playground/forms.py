"""What is asked in the playground, and whom."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from annotate.content.prompts import MAX_MESSAGE_CHARS, MessagesError, check_messages
from annotate.models import Message, Policy, Project
from training.playground.tryouts import policies_that_answer


class PolicyField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A policy by its name."""

    def label_from_instance(self, obj: Policy) -> str:
        return f"{obj.slug} ({obj.get_state_display()})"


class AskForm(forms.Form):
    """A prompt and two policies."""

    question = forms.CharField(
        label=_("Prompt"),
        max_length=MAX_MESSAGE_CHARS,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    system = forms.CharField(
        label=_("System message"),
        required=False,
        max_length=MAX_MESSAGE_CHARS,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    first = PolicyField(label=_("One policy"), queryset=Policy.objects.none(), empty_label=None)
    second = PolicyField(
        label=_("The other policy"), queryset=Policy.objects.none(), empty_label=None
    )
    blind = forms.BooleanField(
        label=_("Hide which policy writes which"),
        required=False,
        help_text=_("Sides are random; the names are shown when you ask for them."),
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        policies = policies_that_answer(project)
        for name in ("first", "second"):
            field = self.fields[name]
            assert isinstance(field, PolicyField)  # noqa: S101 - for the type checker
            field.queryset = policies
        known = list(policies)
        champion = next((policy for policy in known if policy.state == Policy.State.CHAMPION), None)
        self.initial.setdefault("second", champion or (known[-1] if known else None))
        others = [policy for policy in known if policy != self.initial["second"]]
        self.initial.setdefault("first", others[0] if others else self.initial["second"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "question" not in data or "system" not in data:
            return data
        system = [{"role": "system", "content": data["system"]}] if data["system"].strip() else []
        asked = [*system, {"role": "user", "content": data["question"].replace("\r\n", "\n")}]
        try:
            self.messages: list[Message] = check_messages(asked)
        except MessagesError as error:
            name = "system" if error.field.startswith("[0]") and system else "question"
            self.add_error(name, ValidationError(error.reason))
        return data

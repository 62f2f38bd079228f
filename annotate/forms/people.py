"""Forms around the people: invitations, signing up, the texts, pausing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.utils.translation import gettext_lazy as _

from annotate.models import Membership, User

LASTS = {"1": _("a day"), "7": _("a week"), "30": _("30 days"), "90": _("90 days")}
MAX_TEXT = 50_000


class InvitationForm(forms.Form):
    """What role a link gives, to how many people and for how long."""

    role = forms.ChoiceField(
        label=_("Role"),
        choices=Membership.Role.choices,
        initial=Membership.Role.RATER,
        help_text=_("Raters and reviewers see cards; managers see and change everything."),
    )
    lasts = forms.ChoiceField(label=_("Open for"), choices=list(LASTS.items()), initial="7")
    max_uses = forms.IntegerField(
        label=_("Uses at most"),
        required=False,
        min_value=1,
        max_value=100_000,
        help_text=_("How many people may join with this link. Empty: no limit."),
    )
    note = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=200,
        help_text=_("For yourself, such as “students of May”."),
    )

    def lasting(self) -> timedelta:
        return timedelta(days=int(self.cleaned_data["lasts"]))


class SignUpForm(UserCreationForm):  # type: ignore[type-arg]
    """A name and a password, by Django's own rules."""

    class Meta(UserCreationForm.Meta):
        model = User

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].help_text = _(
            "Managers of the project see it. Letters, digits and . - _ @ +"
        )
        self.fields["password1"].help_text = _(
            "At least eight characters; not a common password, and not digits only."
        )
        self.fields["password2"].help_text = ""


class PauseForm(forms.Form):
    """Why somebody gets no cards for a while."""

    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=500,
        help_text=_("The person reads it on the rating page."),
    )


class TextForm(forms.Form):
    """A new version of the guidelines or of the consent text."""

    text = forms.CharField(
        required=False,
        max_length=MAX_TEXT,
        label=_("Text"),
        widget=forms.Textarea(attrs={"rows": 18, "spellcheck": "true"}),
    )
    note = forms.CharField(
        required=False,
        max_length=300,
        label=_("What is new"),
        help_text=_("One sentence for raters who know the previous version."),
    )
    base = forms.IntegerField(
        min_value=0, widget=forms.HiddenInput, help_text=_("The version that was edited.")
    )

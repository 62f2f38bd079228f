"""Who is told, and of what."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from training.endpoints.guard import AddressRefused, HostRules
from training.models import Event, Recipient
from training.notifications.sending import origin_of_hook

PLAIN = {"spellcheck": "false", "autocapitalize": "none", "autocomplete": "off"}


class EventsForm(forms.Form):
    """Of what somebody is told."""

    events = forms.MultipleChoiceField(
        label=_("Notify when"),
        choices=Event.choices,
        initial=[Event.SUCCEEDED, Event.FAILED, Event.WARNING, Event.GATE_READY],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one.")},
    )


class RecipientForm(EventsForm):
    """A new recipient: where, and of what."""

    kind = forms.ChoiceField(label=_("By"), choices=Recipient.Kind.choices)
    address = forms.CharField(
        max_length=500,
        label=_("Address"),
        help_text=_("An e-mail address, or a webhook's URL such as https://example.org/hooks/1."),
        widget=forms.TextInput(attrs=PLAIN),
    )
    field_order = ("kind", "address", "events")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        address = data.get("address")
        if address and data.get("kind"):
            try:
                self._check(str(data["kind"]), str(address))
            except ValidationError as error:
                self.add_error("address", error)
        return data

    @staticmethod
    def _check(kind: str, address: str) -> None:
        if kind == Recipient.Kind.EMAIL:
            validate_email(address)
            if not settings.EMAIL_URL:
                raise ValidationError(
                    gettext(
                        "No mail server is set. The operator of this site sets WHETSTONE_EMAIL_URL."
                    )
                )
            return
        try:
            HostRules.of(settings.ENDPOINT_HOSTS).check_origin(origin_of_hook(address))
        except (AddressRefused, ValueError) as error:
            raise ValidationError(str(error)) from error

"""The form of an endpoint. The key goes in and never comes out again."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotate.models import Policy, Project
from training.endpoints.guard import AddressRefused, HostRules, origin_of
from training.models import Endpoint

PLAIN = {"spellcheck": "false", "autocapitalize": "none", "autocomplete": "off"}
MOST_STOPS = 4
SENT = {f"sends_{sent}": str(sent) for sent in Endpoint.Sent.values}


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]
    """All that a manager says of an endpoint. ``project`` is where it belongs."""

    name = forms.CharField(
        max_length=80,
        label=_("Name"),
        validators=[validate_slug],
        help_text=_("The name of its policy, such as gpt or vllm-70b. Raters never see it."),
        widget=forms.TextInput(attrs=PLAIN),
    )
    key = forms.CharField(
        required=False,
        max_length=1000,
        label=_("Key"),
        widget=forms.PasswordInput(attrs={**PLAIN, "autocomplete": "new-password"}),
    )
    remove_key = forms.BooleanField(required=False, label=_("Forget the stored key"))
    sends_temperature = forms.BooleanField(required=False, label=_("Supports temperature"))
    sends_top_p = forms.BooleanField(required=False, label=_("Supports top-p"))
    sends_seed = forms.BooleanField(
        required=False,
        label=_("Supports seeds"),
        help_text=_("Switch off what it refuses; many hosted models take no temperature."),
    )
    stop_texts = forms.CharField(
        required=False,
        label=_("Stop sequences"),
        help_text=_("One a line, at most four. Empty: the model ends by itself."),
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
    )

    class Meta:
        model = Endpoint
        fields = [
            "url",
            "model",
            "concurrency",
            "timeout_seconds",
            "length_parameter",
            "price_prompt",
            "price_completion",
            "currency",
            "adapters_of",
            "adapters_dir",
        ]
        labels = {
            "url": _("Address"),
            "model": _("Model"),
            "concurrency": _("Concurrent requests"),
            "timeout_seconds": _("Time limit for one answer, in seconds"),
            "length_parameter": _("Length limit is sent as"),
            "price_prompt": _("Price per million input tokens"),
            "price_completion": _("Price per million output tokens"),
            "currency": _("Currency"),
            "adapters_of": _("Loads adapters of this base model"),
            "adapters_dir": _("Adapter folder as the endpoint sees it"),
        }
        help_texts = {
            "url": _("Up to /v1, such as https://api.example.org/v1 or http://localhost:11434/v1."),
            "model": _("As the endpoint names it."),
            "concurrency": _("How many answers it may write for this project at the same time."),
            "timeout_seconds": _("After that the request is given up and sent once more."),
            "length_parameter": _("Newer hosted models expect max_completion_tokens."),
            "price_prompt": _("0: not counted."),
            "price_completion": _("0: not counted."),
            "currency": _("Three letters; only for display."),
            "adapters_of": _(
                "For a vLLM with LoRA: the base model as named in the project's settings. "
                "Policies trained on it are then sampled there instead of by the engine. "
                "Empty: none."
            ),
            "adapters_dir": _("Empty: the same path as here."),
        }
        widgets = {
            name: forms.TextInput(attrs=PLAIN)
            for name in ("url", "model", "currency", "adapters_of", "adapters_dir")
        }

    GROUPS = [
        (_("Where it is"), ["name", "url", "model", "key", "remove_key"]),
        (
            _("Requests"),
            [
                "concurrency",
                "timeout_seconds",
                "length_parameter",
                *SENT,
                "stop_texts",
            ],
        ),
        (_("What it costs"), ["price_prompt", "price_completion", "currency"]),
        (_("Adapters from rounds"), ["adapters_of", "adapters_dir"]),
    ]

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.project = project
        endpoint: Endpoint = self.instance
        self.is_new = endpoint.pk is None
        self.has_key = bool(endpoint.key_sealed)
        sent = Endpoint.Sent.values if self.is_new else endpoint.sent
        for name, value in SENT.items():
            self.initial[name] = value in sent
        for name in ("price_prompt", "price_completion"):
            self.initial[name] = f"{Decimal(getattr(endpoint, name)).normalize():f}"
        self.initial["stop_texts"] = "\n".join(endpoint.stop)
        if self.is_new:
            del self.fields["remove_key"]
            self.fields["key"].help_text = gettext("Kept encrypted and never shown again.")
        else:
            # Its completions are of this model: another one is another policy.
            self.initial["name"] = endpoint.policy.slug
            self.fields["name"].disabled = True
            if endpoint.policy.completions.exists():
                self.fields["model"].disabled = True
                self.fields["model"].help_text = gettext(
                    "It has written completions with this model. For another model, add an "
                    "endpoint."
                )
            self.fields["key"].help_text = (
                gettext("A key is stored; leave this empty to keep it. A new host deletes it.")
                if self.has_key
                else gettext("None is stored.")
            )
            if not self.has_key:
                del self.fields["remove_key"]

    def groups(self) -> list[tuple[str, list[Any]]]:
        """The fields under their headings."""
        return [
            (str(title), [self[name] for name in names if name in self.fields])
            for title, names in self.GROUPS
        ]

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if self.is_new and Policy.objects.filter(project=self.project, slug=name).exists():
            raise ValidationError(gettext("A policy of this project has this name already."))
        return name

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"].strip().rstrip("/")
        try:
            HostRules.of(settings.ENDPOINT_HOSTS).check_origin(origin_of(url))
        except AddressRefused as error:
            raise ValidationError(str(error)) from error
        return url

    def clean_key(self) -> str:
        key: str = self.cleaned_data["key"].strip()
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValidationError(gettext("A key has only letters, digits and signs."))
        return key

    def clean_stop_texts(self) -> str:
        lines = [line for line in self.cleaned_data["stop_texts"].splitlines() if line.strip()]
        if len(lines) > MOST_STOPS:
            raise ValidationError(gettext("Four at most."))
        return "\n".join(lines)

    def filled(self) -> Endpoint:
        """The endpoint as the form has it, unsaved and without a new key."""
        endpoint: Endpoint = self.save(commit=False)
        endpoint.sent = [value for name, value in SENT.items() if self.cleaned_data[name]]
        endpoint.stop = self.cleaned_data["stop_texts"].splitlines()
        return endpoint

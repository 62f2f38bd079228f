"""The forms with which a manager brings files in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import validate_slug
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext_lazy as _

from annotate.importing import FileKind, RowChoices


class ImportForm(forms.Form):
    """A file of one kind. Only its size is looked at here; the importer reads it."""

    kind: FileKind
    file = forms.FileField(
        label=_("File"),
        help_text=_("JSON Lines (.jsonl) or a JSON array (.json), plain or gzipped."),
        widget=forms.ClearableFileInput(attrs={"accept": ".jsonl,.json,.gz"}),
    )

    skip_bad = forms.BooleanField(
        label=_("Skip rows that are wrong"),
        required=False,
        help_text=_("They are listed in a file for you to mend. Otherwise nothing is imported."),
    )
    take_rendered = forms.BooleanField(
        label=_("Take prompts with the marks of a chat template in them"),
        required=False,
        help_text=_("Such as <|im_start|> or [INST]. The model's own template comes on top."),
    )

    CHOICES = ("skip_bad", "take_rendered", "take_empty")

    @property
    def choices(self) -> RowChoices:
        """What was chosen about rows that are not taken as a matter of course."""
        chosen = {name: bool(self.cleaned_data.get(name)) for name in self.CHOICES}
        return RowChoices(**chosen)

    def main_fields(self) -> list[forms.BoundField]:
        return [field for field in self if field.name not in self.CHOICES]

    def choice_fields(self) -> list[forms.BoundField]:
        return [field for field in self if field.name in self.CHOICES]

    def clean_file(self) -> UploadedFile[Any]:
        file: UploadedFile[Any] = self.cleaned_data["file"]
        if (file.size or 0) > settings.MAX_UPLOAD_BYTES:
            raise forms.ValidationError(
                _(
                    "This file is larger than %(largest)s. An operator can import it with "
                    "manage.py %(command)s."
                ),
                params={
                    "largest": filesizeformat(settings.MAX_UPLOAD_BYTES),
                    "command": f"import_{self.kind}",
                },
            )
        return file


class PromptsForm(ImportForm):
    kind = FileKind.PROMPTS


class AnswersForm(ImportForm):
    """A file that holds answers."""

    take_empty = forms.BooleanField(
        label=_("Take answers without any text"),
        required=False,
        help_text=_("A model trained on them learns to say nothing."),
    )


class CompletionsForm(AnswersForm):
    kind = FileKind.COMPLETIONS
    policy = forms.CharField(
        label=_("Policy"),
        required=False,
        max_length=80,
        validators=[validate_slug],
        help_text=_(
            "For a file with answers of one model. Left empty, each model named in the file "
            "becomes a policy."
        ),
    )


class PairsForm(AnswersForm):
    kind = FileKind.PAIRS


FORMS: dict[FileKind, type[ImportForm]] = {
    form.kind: form for form in (PromptsForm, CompletionsForm, PairsForm)
}

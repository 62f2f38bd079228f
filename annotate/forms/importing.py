"""The forms with which a manager brings files in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import validate_slug
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext_lazy as _

from annotate.importing import FileKind


class ImportForm(forms.Form):
    """A file of one kind. Only its size is looked at here; the importer reads it."""

    kind: FileKind
    file = forms.FileField(
        label=_("File"),
        help_text=_("JSON Lines (.jsonl), plain or gzipped."),
        widget=forms.ClearableFileInput(attrs={"accept": ".jsonl,.json,.gz"}),
    )

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


class CompletionsForm(ImportForm):
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


class PairsForm(ImportForm):
    kind = FileKind.PAIRS


FORMS: dict[FileKind, type[ImportForm]] = {
    form.kind: form for form in (PromptsForm, CompletionsForm, PairsForm)
}

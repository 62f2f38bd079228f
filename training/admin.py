"""Read access to what the loop has made; rounds and snapshots are not edited by hand."""

from django.contrib import admin
from django.http import HttpRequest

from training import models
from training.models import ScoringJob

admin.site.register(models.LoopSettings)


class RecordAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A table that the software writes and people only read."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, *_args: object) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:  # noqa: ARG002
        return False


@admin.register(models.Snapshot)
class SnapshotAdmin(RecordAdmin):
    list_display = ["sha256", "project", "counts", "created_at"]
    exclude = ["pairs"]


@admin.register(models.Round)
class RoundAdmin(RecordAdmin):
    list_display = ["number", "project", "kind", "state", "trigger", "created_at"]
    list_filter = ["project", "state"]


@admin.register(models.SamplingJob)
class SamplingJobAdmin(RecordAdmin):
    list_display = ["pk", "project", "state", "stored", "total_steps", "created_at"]
    list_filter = ["project", "state"]


@admin.register(ScoringJob)
class ScoringJobAdmin(RecordAdmin):
    list_display = ["pk", "project", "round", "state", "stored", "total_steps", "created_at"]
    list_filter = ["project", "state"]

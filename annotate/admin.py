"""Everything that the pages have no form for yet."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from annotate import models

admin.site.register(models.User, UserAdmin)


class TableAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """A table that may hold millions of rows: never counted whole."""

    show_full_result_count = False


@admin.register(models.Project)
class ProjectAdmin(TableAdmin):
    list_display = ["name", "slug", "is_paused", "created_at"]
    prepopulated_fields = {"slug": ["name"]}
    readonly_fields = ["guidelines", "consent_text"]  # versions: edited on the project's pages


@admin.register(models.Membership)
class MembershipAdmin(TableAdmin):
    list_display = ["user", "project", "role"]
    list_filter = ["project", "role"]
    autocomplete_fields = ["user"]


@admin.register(models.Prompt)
class PromptAdmin(TableAdmin):
    list_display = ["__str__", "project", "is_held_out", "source"]
    list_filter = ["project", "is_held_out"]
    readonly_fields = ["digest", "is_held_out"]


@admin.register(models.Policy)
class PolicyAdmin(TableAdmin):
    list_display = ["slug", "project", "kind", "state", "parent", "created_at"]
    list_filter = ["project", "kind", "state"]


@admin.register(models.Completion)
class CompletionAdmin(TableAdmin):
    list_display = ["__str__", "policy", "finish_reason", "token_count", "created_at"]
    list_filter = ["policy"]
    raw_id_fields = ["prompt", "policy"]
    readonly_fields = ["html", "sampling_digest"]


@admin.register(models.Comparison)
class ComparisonAdmin(TableAdmin):
    list_display = ["pk", "project", "purpose", "state", "result", "judgements_taken"]
    list_filter = ["project", "state", "result", "purpose"]
    raw_id_fields = ["prompt", "a", "b"]


@admin.register(models.Judgement)
class JudgementAdmin(TableAdmin):
    list_display = ["code", "rater", "outcome", "served_at", "decided_at", "retracted_at"]
    list_filter = ["outcome"]
    raw_id_fields = ["comparison", "rater"]


@admin.register(models.PreferencePair)
class PreferencePairAdmin(TableAdmin):
    list_display = ["pk", "weight", "agreement", "created_at", "frozen_at"]
    raw_id_fields = ["comparison", "chosen", "rejected"]

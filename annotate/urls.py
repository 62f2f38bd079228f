"""Addresses of the annotation side."""

from django.urls import URLPattern, path

from annotate.views import comparisons, editor, glossary, importing, practice
from annotate.views.people import first_visit, joining, my_data, people, preferences, texts
from annotate.views.rating import difference, history, line_ups, rating

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/rate/", rating.rate, name="rate"),
    path("p/<slug:slug>/rate/<uuid:code>/", rating.verdict, name="verdict"),
    path("p/<slug:slug>/rate/ahead/", rating.ahead, name="ahead"),
    path("p/<slug:slug>/rate/<uuid:code>/lease/", rating.lease, name="lease"),
    path("p/<slug:slug>/rank/", line_ups.line_up, name="line_up"),
    path("p/<slug:slug>/rank/<uuid:code>/", line_ups.order, name="order"),
    path("p/<slug:slug>/rank/<uuid:code>/reopen/", line_ups.reopen, name="reopen_order"),
    path("p/<slug:slug>/history/", history.history, name="history"),
    path("p/<slug:slug>/history/<uuid:code>/reopen/", history.reopen, name="reopen"),
    path(
        "p/<slug:slug>/rate/<uuid:code>/difference/", difference.show_difference, name="difference"
    ),
    path("p/<slug:slug>/undo/", rating.undo, name="undo"),
    path("you/", preferences.you, name="you"),
    path("glossary/", glossary.glossary, name="glossary"),
    path("p/<slug:slug>/import/", importing.import_page, name="import"),
    path(
        "p/<slug:slug>/import/skipped/<str:name>", importing.download_skipped, name="skipped_lines"
    ),
    path("p/<slug:slug>/pairs.jsonl", importing.download_pairs, name="export_pairs"),
    # People: joining, the first visit, a rater's own pages, managers' tools.
    path("join/<str:token>/", joining.join, name="join"),
    path("p/<slug:slug>/consent/", first_visit.consent, name="consent"),
    path("p/<slug:slug>/guidelines/", first_visit.guidelines, name="guidelines"),
    path("p/<slug:slug>/guidelines/read/", first_visit.guidelines_read, name="guidelines_read"),
    path("p/<slug:slug>/practice/", practice.practice, name="practice"),
    path("p/<slug:slug>/practice/again/", practice.practise_again, name="practise_again"),
    path("p/<slug:slug>/progress/", my_data.progress, name="my_progress"),
    path("p/<slug:slug>/about-me/", my_data.data, name="my_data"),
    path("p/<slug:slug>/about-me.json", my_data.download, name="my_data_download"),
    path("p/<slug:slug>/leave/", my_data.leave, name="leave"),
    path("p/<slug:slug>/people/", people.people, name="people"),
    path("p/<slug:slug>/people/<int:pk>/", people.change_member, name="change_member"),
    path("p/<slug:slug>/invitations/", people.invitations, name="invitations"),
    path(
        "p/<slug:slug>/invitations/<int:pk>/revoke/",
        people.revoke_invitation,
        name="revoke_invitation",
    ),
    path("p/<slug:slug>/comparisons/", comparisons.comparisons, name="comparisons"),
    path("p/<slug:slug>/comparisons/<int:pk>/", comparisons.comparison, name="comparison"),
    path("p/<slug:slug>/card/", editor.editor, name="editor"),
    path("p/<slug:slug>/card/preview/", editor.editor_preview, name="editor_preview"),
    path("p/<slug:slug>/texts/<str:kind>/", texts.text_editor, name="text_editor"),
    path("p/<slug:slug>/texts/<str:kind>/preview/", texts.text_preview, name="text_preview"),
    path("p/<slug:slug>/texts/<str:kind>/<int:number>/", texts.text_version, name="text_version"),
]

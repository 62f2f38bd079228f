"""Addresses around the people: joining, the first visit, a rater's own pages, managers' tools."""

from django.urls import URLPattern, path

from annotate.views import (
    comparisons,
    editor,
    first_visit,
    joining,
    own,
    people,
    practice,
    texts,
)

urlpatterns: list[URLPattern] = [
    path("join/<str:token>/", joining.join, name="join"),
    path("p/<slug:slug>/consent/", first_visit.consent, name="consent"),
    path("p/<slug:slug>/guidelines/", first_visit.guidelines, name="guidelines"),
    path("p/<slug:slug>/guidelines/read/", first_visit.guidelines_read, name="guidelines_read"),
    path("p/<slug:slug>/practice/", practice.practice, name="practice"),
    path("p/<slug:slug>/practice/again/", practice.practise_again, name="practise_again"),
    path("p/<slug:slug>/progress/", own.progress, name="my_progress"),
    path("p/<slug:slug>/about-me/", own.data, name="my_data"),
    path("p/<slug:slug>/about-me.json", own.download, name="my_data_download"),
    path("p/<slug:slug>/leave/", own.leave, name="leave"),
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

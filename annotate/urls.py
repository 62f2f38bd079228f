"""Addresses of the annotation side."""

from django.urls import URLPattern, path

from annotate.urls_people import urlpatterns as people
from annotate.views import difference, history, line_up, moving, rating, you

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/rate/", rating.rate, name="rate"),
    path("p/<slug:slug>/rate/<uuid:code>/", rating.verdict, name="verdict"),
    path("p/<slug:slug>/rate/ahead/", rating.ahead, name="ahead"),
    path("p/<slug:slug>/rate/<uuid:code>/lease/", rating.lease, name="lease"),
    path("p/<slug:slug>/rank/", line_up.line_up, name="line_up"),
    path("p/<slug:slug>/rank/<uuid:code>/", line_up.order, name="order"),
    path("p/<slug:slug>/rank/<uuid:code>/reopen/", line_up.reopen, name="reopen_order"),
    path("p/<slug:slug>/history/", history.history, name="history"),
    path("p/<slug:slug>/history/<uuid:code>/reopen/", history.reopen, name="reopen"),
    path(
        "p/<slug:slug>/rate/<uuid:code>/difference/", difference.show_difference, name="difference"
    ),
    path("p/<slug:slug>/undo/", rating.undo, name="undo"),
    path("you/", you.you, name="you"),
    path("p/<slug:slug>/import/", moving.import_page, name="import"),
    path("p/<slug:slug>/pairs.jsonl", moving.download_pairs, name="export_pairs"),
    *people,
]

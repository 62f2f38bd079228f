"""Addresses of the annotation side."""

from django.urls import URLPattern, path

from annotate.views import difference, moving, rating

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/rate/", rating.rate, name="rate"),
    path("p/<slug:slug>/rate/<uuid:code>/", rating.verdict, name="verdict"),
    path(
        "p/<slug:slug>/rate/<uuid:code>/difference/", difference.show_difference, name="difference"
    ),
    path("p/<slug:slug>/undo/", rating.undo, name="undo"),
    path("p/<slug:slug>/import/", moving.import_page, name="import"),
    path("p/<slug:slug>/pairs.jsonl", moving.download_pairs, name="export_pairs"),
]

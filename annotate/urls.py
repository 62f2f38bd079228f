"""Addresses of the annotation side."""

from django.urls import URLPattern, path

from annotate.views import moving

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/import/", moving.import_page, name="import"),
    path("p/<slug:slug>/pairs.jsonl", moving.download_pairs, name="download_pairs"),
]

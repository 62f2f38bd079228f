"""Addresses of the annotation side."""

from django.urls import URLPattern, path

from annotate.views import rating

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/rate/", rating.rate, name="rate"),
    path("p/<slug:slug>/rate/<uuid:code>/", rating.verdict, name="verdict"),
    path("p/<slug:slug>/undo/", rating.undo, name="undo"),
]

"""Addresses of the annotation side."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

"""Addresses of the training side."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []

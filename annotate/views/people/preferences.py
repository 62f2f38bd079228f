"""A person's own settings: keys, size of text, appearance."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from annotate.forms.preferences import PreferencesForm
from annotate.views.requests import MemberRequest

YEAR = 60 * 60 * 24 * 365


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def you(request: MemberRequest) -> HttpResponse:
    """Show the settings, or save them and go back to where the person came from."""
    back = request.POST.get("next") or request.GET.get("next") or ""
    if not url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure()):
        back = ""
    form = PreferencesForm(request.POST or None, user=request.user)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Your settings are saved."))
        response: HttpResponse = redirect(back or reverse("you"))
        _remember(request, response, form.cleaned_data)
        return response
    context = {"form": form, "back": back}
    return render(request, "people/preferences.html", context, status=422 if form.errors else 200)


def _remember(request: MemberRequest, response: HttpResponse, chosen: dict[str, str]) -> None:
    """This browser's own choice, which the menu sets, too, comes before the stored one."""
    for name in ("theme", "text"):
        response.set_cookie(
            name, chosen[name], max_age=YEAR, samesite="Lax", secure=request.is_secure()
        )

"""Notifications: who is told of what, and what has been sent."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import get_language, gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotate.access import project_for
from annotate.models import Membership, Project
from annotate.views.requests import MemberRequest
from training.errors import Refused
from training.models import Delivery, Event, Recipient
from training.notifications import outbox
from training.notifications.forms import EventsForm, RecipientForm
from training.notifications.recipients import add_recipient, change_events, renew_secret

DELIVERIES_SHOWN = 100


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def notifications(request: MemberRequest, slug: str) -> HttpResponse:
    """Everybody who is told; a new webhook's secret is shown in the answer that makes it."""
    project, membership = project_for(request, slug, manage=True)
    form = RecipientForm(request.POST if request.method == "POST" else None)
    revealed: dict[str, Any] = {}
    if form.is_valid():
        try:
            made, secret = add_recipient(
                project=project,
                kind=form.cleaned_data["kind"],
                address=form.cleaned_data["address"],
                events=form.cleaned_data["events"],
                language=get_language() or settings.LANGUAGE_CODE,
            )
        except Refused as error:
            form.add_error("address", str(error))
        else:
            if not secret:
                message = gettext("%(address)s is notified from now on.")
                messages.success(request, message % {"address": made.address})
                return redirect("notifications", project.slug)
            revealed = {"secret": secret, "made": made}
            form = RecipientForm()
    return _page(request, project, membership, form, **revealed)


def _page(
    request: MemberRequest,
    project: Project,
    membership: Membership,
    form: RecipientForm,
    **extra: Any,
) -> HttpResponse:
    recipients = [
        {
            "row": recipient,
            "events": EventsForm(
                initial={"events": recipient.events}, auto_id=f"events-{recipient.pk}-%s"
            ),
            "told": [Event(event).label for event in recipient.events if event in Event.values],
            "last": recipient.deliveries.first(),
        }
        for recipient in project.recipients.all()
    ]
    context = {
        "project": project,
        "membership": membership,
        "form": form,
        "recipients": recipients,
        "hosts": settings.ENDPOINT_HOSTS,
        "has_mail": bool(settings.EMAIL_URL),
        **extra,
    }
    return render(request, "notifications/notifications.html", context)


@login_required
@never_cache
@require_POST
def change_recipient(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """One of: other events, on, off, a test message, another secret, removal."""
    project, membership = project_for(request, slug, manage=True)
    recipient = get_object_or_404(Recipient, project=project, pk=pk)
    wish = request.POST.get("do", "")
    values = {"address": recipient.address}
    if wish == "events":
        form = EventsForm(request.POST)
        if not form.is_valid():
            messages.error(request, gettext("Choose at least one event, or switch it off."))
            return redirect("notifications", project.slug)
        change_events(
            recipient=recipient, events=form.cleaned_data["events"], is_on=recipient.is_on
        )
        messages.success(request, gettext("Saved."))
    elif wish in ("on", "off"):
        change_events(recipient=recipient, events=recipient.events, is_on=wish == "on")
        message = (
            gettext("%(address)s is notified from now on.")
            if wish == "on"
            else gettext("%(address)s gets nothing until it is switched on again.")
        )
        messages.success(request, message % values)
    elif wish == "test":
        outbox.send_test(recipient=recipient)
        message = gettext("A test message to %(address)s is on its way; see under deliveries.")
        messages.success(request, message % values)
        return redirect("deliveries", project.slug)
    elif wish == "secret" and recipient.kind == Recipient.Kind.WEBHOOK:
        secret = renew_secret(recipient=recipient)
        return _page(request, project, membership, RecipientForm(), secret=secret, made=recipient)
    elif wish == "remove":
        recipient.delete()
        message = gettext("%(address)s was removed, with its list of deliveries.")
        messages.success(request, message % values)
    else:
        return HttpResponse(gettext("Nothing to do."), status=422)
    return redirect("notifications", project.slug)


@login_required
@never_cache
@require_GET
def deliveries(request: MemberRequest, slug: str) -> HttpResponse:
    """The last messages: to whom, of what, and whether they have arrived."""
    project, membership = project_for(request, slug, manage=True)
    rows = Delivery.objects.filter(recipient__project=project).select_related("recipient")
    context = {
        "project": project,
        "membership": membership,
        "deliveries": rows.order_by("-pk")[:DELIVERIES_SHOWN],
    }
    return render(request, "notifications/deliveries.html", context)


@login_required
@require_POST
def send_again(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """Try once more what was given up."""
    project, _ = project_for(request, slug, manage=True)
    outbox.send_again(delivery=get_object_or_404(Delivery, recipient__project=project, pk=pk))
    return redirect("deliveries", project.slug)

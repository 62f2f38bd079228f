"""Pushing an adapter or a merged model, with its card, to a model hub.

The library's client does it, in a thread, while this one keeps the row alive. A token is used
for its own push and then forgotten; the operator's, where there is one, never enters a row.
"""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from annotate.models import User
from training.endpoints.guard import AddressRefused, Origin, origin_of
from training.endpoints.keys import ApiKey, KeyUnreadable, seal, unseal
from training.errors import Refused
from training.exports.merge import FOLDER, merge_kept
from training.exports.model_card import What, write_card
from training.jobs.claims import Claim
from training.jobs.dispatch import dispatch
from training.jobs.worker import Stopping, Worker, never_stopping
from training.models import HubPush, Job, Round
from training.storage import artifacts
from training.storage.code_version import code_version

logger = logging.getLogger(__name__)
BEAT_SECONDS = 5.0
REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


class PushFailed(Exception):
    """Why a push did not succeed, for a person."""


def hub_origin() -> Origin:
    """Scheme, host and port of the hub. Raises Refused where HF_ENDPOINT is no address."""
    try:
        return origin_of(settings.HUB_URL)
    except AddressRefused as error:
        raise Refused(f"HF_ENDPOINT: {error}") from error


def start_push(
    *,
    round_: Round,
    what: str,
    repo: str,
    is_private: bool = True,
    token: str = "",
    requested_by: User | None = None,
) -> HubPush:
    """Queue a push. Raises Refused, in words, where it cannot go."""
    repo = repo.strip()
    if not REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        raise Refused(_("Write the repository as owner/name, such as our-lab/helpdesk-3."))
    if not token and not settings.HUB_TOKEN:
        raise Refused(_("The hub needs a token with write access. Enter one."))
    _folder(round_, what)
    try:
        with transaction.atomic():
            made = HubPush.objects.create(
                round=round_,
                what=HubPush.What(what),
                repo=repo,
                is_private=is_private,
                token_sealed=seal(token, hub_origin()) if token else "",
                requested_by=requested_by,
                code_version=code_version(),
            )
            transaction.on_commit(lambda: dispatch(made))
    except IntegrityError as error:
        raise Refused(_("This is on its way to the hub already.")) from error
    return made


class PushWorker(Worker[HubPush]):
    """Pushes; what has arrived is found again by a second attempt."""

    model = HubPush

    def work(self) -> None:
        key = ApiKey()
        try:
            key = _key_of(self.job)
            url = _upload(self.job, key, self.held, self.stopping)
        except (Refused, KeyUnreadable, PushFailed) as error:
            self._fail(key.scrub(str(error)))
        except Exception as error:
            message = key.scrub(f"{type(error).__name__}: {error}")
            logger.error("%s: %s", self.job, message)
            self._fail(message)
        else:
            if url is None:
                self.held.hand_back()
            else:
                self.held.end(Job.State.SUCCEEDED, url=url[:500], error="", token_sealed="")

    def _fail(self, message: str) -> None:
        self.held.end(Job.State.FAILED, error=message, token_sealed="")


def run_push(pk: int, *, stopping: Stopping = never_stopping) -> None:
    """Push; record why, where that fails."""
    PushWorker.run(pk, stopping=stopping)


def _key_of(push: HubPush) -> ApiKey:
    return (
        unseal(push.token_sealed, hub_origin()) if push.token_sealed else ApiKey(settings.HUB_TOKEN)
    )


def _folder(round_: Round, what: str) -> Path:
    """What is pushed. Raises Refused where it is not there."""
    try:
        if what == HubPush.What.MERGED:
            merged = merge_kept(round_)
            if merged is None:
                raise Refused(_("There is no merged model yet. Merge it first."))
            return artifacts.local_made(merged.run, FOLDER)
        if round_.policy is None:
            raise Refused(_("The adapter's folder is not there."))
        return artifacts.local_adapter(round_.policy.adapter_path)
    except artifacts.ArtifactError as error:
        raise Refused(str(error)) from error


def _upload(push: HubPush, key: ApiKey, held: Claim, stopping: Stopping) -> str | None:
    """The commit's address; None where the worker was asked to leave before the end."""
    what: What = "merged" if push.what == HubPush.What.MERGED else "adapter"
    folder = _folder(push.round, push.what)
    write_card(push.round, folder, what=what)
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            outcome["url"] = _send(push, folder, key)
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=work, name=f"push-{push.pk}", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(BEAT_SECONDS)
        if thread.is_alive():
            if stopping():
                return None
            held.update(phase="uploading")
    if "error" in outcome:
        raise _in_words(outcome["error"], push)
    return str(outcome["url"])


def _send(push: HubPush, folder: Path, key: ApiKey) -> str:
    """Make the repository where it is absent, and commit the folder. Knows no database."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # they are for a terminal; ours is a log

    api = HfApi(endpoint=settings.HUB_URL, token=key.value, library_name="whetstone")
    api.create_repo(push.repo, private=push.is_private, exist_ok=True)
    if push.is_private and not api.repo_info(push.repo).private:
        message = _(
            "%(repo)s exists already and is open to everybody. Nothing was sent. Choose another "
            "name, or say that it may be public."
        )
        raise PushFailed(message % {"repo": push.repo})
    commit = api.upload_folder(
        repo_id=push.repo,
        folder_path=folder,
        ignore_patterns=[".*"],
        commit_message=f"{push.round.project.slug}, round {push.round.number} ({push.what})",
    )
    return str(commit.commit_url)


def _in_words(error: BaseException, push: HubPush) -> Exception:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, PushFailed):
        return error
    hub = settings.HUB_URL
    if isinstance(error, OfflineModeIsEnabled):
        return PushFailed(_("HF_HUB_OFFLINE is set: nothing is sent to a hub."))
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        values = {"hub": hub, "repo": push.repo, "status": status, "said": _said(error)}
        if status == 401:
            return PushFailed(_("%(hub)s does not accept this token (401).") % values)
        if status == 403:
            return PushFailed(
                _("The token may not write to %(repo)s on %(hub)s (403). %(said)s") % values
            )
        if status == 404:
            return PushFailed(_("%(hub)s does not find %(repo)s (404). %(said)s") % values)
        return PushFailed(_("%(hub)s refused with status %(status)s. %(said)s") % values)
    if isinstance(error, OSError) or type(error).__module__.startswith(("httpx", "httpcore")):
        return PushFailed(_("%(hub)s cannot be reached, or closed the connection.") % {"hub": hub})
    return error if isinstance(error, Exception) else PushFailed(type(error).__name__)


def _said(error: Any) -> str:
    return " ".join(str(error.server_message or "").split())[:300]

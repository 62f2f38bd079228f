"""Who is signed in, asked at every request: Django's sessions and accounts, read by two statements
that are put together once (``annotate.db.fast_rows``)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from annotate.db.fast_rows import Reading
from annotate.models import User

SESSION = Reading(
    "SELECT {session} FROM django_session AS session"
    " WHERE session.session_key = %s AND session.expire_date > %s",
    session=Session,
)
ACCOUNT = Reading("SELECT {account} FROM annotate_user AS account WHERE id = %s", account=User)


class SessionStore(db.SessionStore):
    """Django's own sessions in the database; only the reading differs."""

    def _get_session_from_db(self) -> Session | None:
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        row = SESSION.first(self.session_key, now)
        if row is None:
            self._session_key = None
            return None
        session: Session = row[0]
        return session


class Backend(ModelBackend):
    """Django's own accounts; only the reading differs."""

    def get_user(self, user_id: Any) -> User | None:
        row = ACCOUNT.first(user_id)
        return row[0] if row is not None and self.user_can_authenticate(row[0]) else None

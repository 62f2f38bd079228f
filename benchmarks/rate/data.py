"""A project with many comparisons, half of them judged long ago, and raters who are signed in.

Runs on the database that the settings name. ``python -m benchmarks.rate.data fill COMPARISONS
RATERS`` prints one JSON object: the project's slug and a session key for each rater.
``… duplicates`` prints how many comparisons have more verdicts or pairs than they should.
"""

from __future__ import annotations

import json
import os
import random
import sys

import django

ANSWERS = 15
"""Completions of one prompt; all of them meet one another."""

MEETINGS = ANSWERS * (ANSWERS - 1) // 2

WORDS = (  # noqa: SIM905
    "model answer because river winter seven careful number light under between always "
    "question machine paper garden morning teacher window simple"
).split()


def fill(comparisons: int, raters: int) -> dict[str, object]:
    """Make at least ``comparisons``; every second one is settled, in small databases none."""
    from django.db import connection

    from annotate.models import Membership, Policy, Project, User

    project = Project.objects.create(slug="bench", name="Bench", held_out_percent=20)
    people = [User(username=f"rater-{number}", password="!") for number in range(raters)]
    User.objects.bulk_create(people)
    people = list(User.objects.order_by("pk"))
    Membership.objects.bulk_create(Membership(project=project, user=person) for person in people)
    policy = Policy.objects.create(project=project, slug="model", kind=Policy.Kind.IMPORT)
    prompts = -(-comparisons // MEETINGS)
    _write_texts(project, policy, prompts)
    with connection.cursor() as cursor:
        for statement in _statements(connection.vendor, has_history=comparisons > 10_000):
            cursor.execute(
                statement, {"project": project.pk, "first": people[0].pk, "raters": raters}
            )
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")
    return {"project": project.slug, "sessions": [_signed_in(person) for person in people]}


def _write_texts(project: object, policy: object, prompts: int) -> None:
    from annotate.content.completions import store_completions
    from annotate.content.prompts import NewPrompt, store_prompts
    from annotate.models import Completion, Prompt

    draw = random.Random(5)

    def words(least: int, most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(least, most))).capitalize() + "."

    for start in range(0, prompts, 500):
        new = [
            NewPrompt(messages=[{"role": "user", "content": f"{number}. {words(8, 30)}"}])
            for number in range(start, min(start + 500, prompts))
        ]
        store_prompts(project=project, prompts=new)  # type: ignore[arg-type]
    rows = []
    for prompt in Prompt.objects.order_by("pk").values_list("pk", flat=True):
        for number in range(ANSWERS):
            text = words(30, 90)
            # Rendered already, as a paragraph is: Markdown is not what is measured here.
            html = f'<p dir="auto">{text}</p>'
            rows.append(
                Completion(prompt_id=prompt, policy=policy, text=text, html=html, seed=number)
            )
        if len(rows) >= 5_000:
            store_completions(rows=rows)
            rows = []
    store_completions(rows=rows)


def _statements(vendor: str, *, has_history: bool) -> list[str]:
    """Comparisons, and where there is a history: judgements, pairs. One statement a table."""
    sqlite = vendor == "sqlite"
    draw = "abs(random()) %% 2147483648" if sqlite else "floor(random() * 2147483647)::int"
    code = "lower(hex(randomblob(16)))" if sqlite else "gen_random_uuid()"
    false, true = ("0", "1") if sqlite else ("false", "true")
    now = "strftime('%%Y-%%m-%%d %%H:%%M:%%S.000000', 'now')" if sqlite else "now()"
    # Spread over the thirty days before yesterday.
    old = (
        "strftime('%%Y-%%m-%%d %%H:%%M:%%S.000000', 'now', "
        "'-' || (86400 + (id * 7919) %% 2592000) || ' seconds')"
        if sqlite
        else "now() - make_interval(secs => 86400 + (id * 7919) %% 2592000)"
    )
    settled = "(a.id + b.id) %% 2 = 0" if has_history else "1 = 0"
    comparisons = f"""
        INSERT INTO annotate_comparison (project_id, prompt_id, a_id, b_id, purpose, priority,
            shuffle, picked, judgements_wanted, judgements_taken, state, result, created_at,
            settled_at)
        SELECT %(project)s, a.prompt_id, a.id, b.id, 'normal', 0, {draw}, '', 1,
            CASE WHEN {settled} THEN 1 ELSE 0 END,
            CASE WHEN {settled} THEN 'settled' ELSE 'open' END,
            CASE WHEN {settled} THEN 'pair' ELSE '' END,
            {now}, CASE WHEN {settled} THEN {now} END
        FROM annotate_completion a
        JOIN annotate_completion b ON a.prompt_id = b.prompt_id AND a.id < b.id"""
    judgements = f"""
        INSERT INTO annotate_judgement (code, project_id, comparison_id, rater_id, swapped,
            outcome, criteria, reason, reason_tags, flags, edited_text, edited_from, served_at,
            expires_at, decided_at, is_late)
        SELECT {code}, project_id, id, %(first)s + id %% %(raters)s,
            CASE WHEN id %% 3 = 0 THEN {true} ELSE {false} END, 'a', '{{}}', '', '[]', '[]', '', '',
            {old}, {old}, {old}, {false}
        FROM annotate_comparison WHERE state = 'settled'"""
    pairs = f"""
        INSERT INTO annotate_preferencepair (comparison_id, kind, chosen_id, rejected_id, weight,
            agreement, created_at)
        SELECT id, 'vote', a_id, b_id, 1.0, 1.0, {now}
        FROM annotate_comparison WHERE state = 'settled'"""
    return [comparisons, judgements, pairs] if has_history else [comparisons]


def _signed_in(user: object) -> str:
    """A session as the login page makes it."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    from config.sessions import SessionStore

    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)  # type: ignore[attr-defined]
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()  # type: ignore[attr-defined]
    session.create()
    return str(session.session_key)


def duplicates() -> int:
    """Every comparison here wants one verdict and makes one pair at most."""
    from django.db.models import Count

    from annotate.models import Judgement, PreferencePair

    decided = Judgement.objects.filter(decided_at__isnull=False, retracted_at=None)
    return sum(
        rows.values("comparison").annotate(count=Count("pk")).filter(count__gt=1).count()
        for rows in (decided, PreferencePair.objects.all())
    )


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    if sys.argv[1] == "fill":
        print(json.dumps(fill(int(sys.argv[2]), int(sys.argv[3]))))
    else:
        print(duplicates())

"""The German interface is complete: every text is in the catalogue, translated, and compiled.

The catalogue is read with polib and the texts are found in the sources by Python alone, so that
neither a run nor a test needs GNU gettext.
"""

import ast
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.template import Node
from django.template.loader import get_template
from django.templatetags.i18n import BlockTranslateNode, TranslateNode
from django.urls import reverse

from annotate.models import Comparison, Membership, Policy
from annotate.onboarding import texts
from annotate.people import invitations
from annotate.quality.gold import make_gold_item
from annotate.quality.practice import make_practice_item
from tests.factories import make_comparison, make_policy
from training.models import (
    Delivery,
    Event,
    LoopSettings,
    Metric,
    Recipient,
    Round,
    SamplingJob,
    Snapshot,
)

FOLDER = Path(settings.BASE_DIR, "locale/de/LC_MESSAGES")
PACKAGES = ("annotate", "training", "config")
ONE = {"_", "gettext", "gettext_lazy", "gettext_noop"}
SEVERAL = {"ngettext", "ngettext_lazy"}
IN_CONTEXT = {"pgettext"}
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%%|\{\w*\}|</?\w[^>]*>")
MAKE_MESSAGES = (
    "python manage.py makemessages -l de --no-location -i .venv -i var -i tests -i benchmarks"
)

Message = tuple[str, str]
"""A text, and its plural where it has one."""


@pytest.fixture(scope="module")
def catalogue():
    return polib.pofile(str(FOLDER / "django.po"))


def translations_of(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


# --- the catalogue ---


def test_every_text_is_translated(catalogue):
    assert len(catalogue) > 400
    assert not [entry.msgid for entry in catalogue if entry.fuzzy or entry.obsolete]
    assert not [
        entry.msgid for entry in catalogue if not all(map(str.strip, translations_of(entry)))
    ]
    assert not [
        entry.msgid for entry in catalogue if entry.msgid_plural and len(translations_of(entry)) < 2
    ]


def test_placeholders_and_tags_are_the_same_in_both_languages(catalogue):
    for entry in catalogue:
        for source, translation in zip(
            [entry.msgid, entry.msgid_plural], translations_of(entry), strict=False
        ):
            assert sorted(PLACEHOLDER.findall(source)) == sorted(
                PLACEHOLDER.findall(translation)
            ), source


def test_the_compiled_catalogue_is_the_written_one(catalogue):
    compiled = polib.mofile(str(FOLDER / "django.mo"))
    assert {(entry.msgid, *translations_of(entry)) for entry in compiled} == {
        (entry.msgid, *translations_of(entry)) for entry in catalogue
    }, "run python manage.py compilemessages -l de"


# --- the sources ---


def in_templates() -> Iterator[Message]:
    folder = Path(settings.BASE_DIR, "templates")
    for path in folder.rglob("*.html"):
        template = get_template(str(path.relative_to(folder))).template
        for node in template.nodelist.get_nodes_by_type(Node):
            if isinstance(node, TranslateNode) and node.filter_expression.var.literal:
                yield node.filter_expression.var.literal.replace("%", "%%"), ""
            elif isinstance(node, BlockTranslateNode):
                singular = node.render_token_list(node.singular)[0]
                yield singular, node.render_token_list(node.plural)[0] if node.plural else ""


def in_python() -> Iterator[Message]:
    for package in PACKAGES:
        for path in Path(settings.BASE_DIR, package).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
                    continue
                literals = [part.value for part in call.args if isinstance(part, ast.Constant)]
                if call.func.id in ONE:
                    assert literals, f"{path}:{call.lineno}: no text that can be found"
                    yield literals[0], ""
                elif call.func.id in SEVERAL:
                    yield literals[0], literals[1]
                elif call.func.id in IN_CONTEXT:
                    yield literals[1], ""


def test_the_catalogue_has_the_texts_of_the_sources_and_no_others(catalogue):
    messages = {*in_templates(), *in_python()}
    singular_of_plural = {singular for singular, plural in messages if plural}
    messages = {
        (singular, plural)
        for singular, plural in messages
        if plural or singular not in singular_of_plural
    }
    translated = {(entry.msgid, entry.msgid_plural) for entry in catalogue}
    assert messages == translated, (
        f"run {MAKE_MESSAGES}, translate what is new, then compilemessages -l de"
    )


# --- the pages ---

ENGLISH = [
    *("Sign in", "Sign out", "Username", "Password", "Skip to the content", "Menu"),
    *("Which response is better", "is better", "Tie", "Both are bad", "Skip", "Undo"),
    *("Response A", "Guidelines", "Before you begin", "I agree", "Version 1 of", "Your progress"),
]


def visible_text(page: str) -> str:
    """What a person sees or hears on a page: its text, its labels, and its script's messages."""
    spoken = re.findall(r'(?:aria-label|title|placeholder|data-[a-z0-9-]+)="([^"]*)"', page)
    seen = re.sub(r"<(script|style|svg)\b.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
    return unescape(" | ".join([" ".join(seen.split()), *spoken]))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("page", "german"),
    [
        ("login", ["Anmelden", "Benutzername", "Passwort", "Zum Inhalt springen"]),
        ("consent", ["Bevor Sie beginnen", "Ich willige ein", "Version 1 vom", "Abmelden"]),
        (
            "rate",
            [
                *("Welche Antwort ist besser?", "A ist besser", "Gleichstand", "Beide schlecht"),
                *("Überspringen", "Rückgängig", "Richtlinien", "Gespeichert: {choice}"),
            ],
        ),
    ],
)
def test_a_german_browser_is_answered_in_german(cast, client, client_of, page, german):
    make_comparison(cast.project)
    if page == "consent":
        texts.write(project=cast.project, kind=texts.Kind.CONSENT, text="Abc.", author=cast.manager)
    who = client if page == "login" else client_of(cast.rater)
    address = reverse(page, args=[] if page == "login" else [cast.project.slug])
    answer = who.get(address, headers={"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"})
    assert answer.status_code == 200
    assert answer.headers["Content-Language"] == "de"
    html = answer.content.decode()
    assert '<html lang="de"' in html
    visible = visible_text(html)
    assert not [phrase for phrase in german if phrase not in visible]
    assert not [phrase for phrase in ENGLISH if re.search(rf"\b{phrase}\b", visible)]


MANAGERS_PAGES = {
    "": [
        "Warteschlange und Tempo",
        "Modellantworten",
        "Gewinnquote je Runde",
        "Laden des Modells.",
    ],
    "rounds/": ["Runde 2 ist noch nicht fertig.", "Gescheitert", "Läuft"],
    "rounds/1/": ["Training", "Loss", "Zurückgehaltene Paare", "Die Trainings-Engine hat keinen"],
    "rounds/2/": ["Laden des Modells", "Konfiguration", "die Projektleitung"],
    "completions/": ["Fehlendes schreiben", "Vergleiche bilden"],
    "comparisons/": ["Übungsaufgabe", "Gold-Aufgabe", "Entschieden", "vergeben", "Beliebig"],
    "comparisons/{comparison}/": ["Richtige Antworten", "Nicht mehr verwenden", "A ist besser"],
    "pairs/": ["Präferenzpaare", "Keine Mehrheit"],
    "import/": ["Prompts importieren", "unkomprimiert oder mit gzip"],
    "people/": ["Mitglieder", "Rolle setzen", "Bewertung", "Sek. je Karte"],
    "invitations/": ["Ein neuer Link", "Höchstens so oft", "offen bis", "eine Woche"],
    "settings/": ["Modelle und Runden", "Basismodell", "Jede Runde beginnt bei", "der Champion"],
    "rounds/3/report/": ["Bericht über Runde 3", "Rang-Genauigkeit der Referenz", "Downloads"],
    "rounds/compare/?a=1&b=3": ["Runde 1 neben Runde 3", "Unterschiedliche Einstellungen"],
    "settings/notifications/": ["Wer benachrichtigt wird", "Eine Runde ist gelungen", "Probe"],
    "settings/notifications/deliveries/": ["Zustellungen", "Aufgegeben", "Noch einmal senden"],
    "card/": ["Karte speichern", "So sehen es die Bewertenden", "Wird nicht gefragt", "Vorschau"],
    "texts/guidelines/": ["Als Version 3 speichern", "aktuell", "Was neu war"],
    "texts/guidelines/1/": ["Richtlinien, Version 1", "Das Ganze", "Alles war neu"],
    "texts/consent/": ["Einwilligungstext", "Ein leerer Text fragt nichts."],
}
"""Paths below /p/sharpen/, with some German phrases from each page."""

MANAGERS_ENGLISH = [
    *("Save", "Preview", "The card", "Comparisons", "People", "Settings", "Rounds", "Completions"),
    *("Used in", "Any", "Role", "Members", "Invitations", "Judgements", "Result", "Words"),
    *("Queued", "Running", "Failed", "Retired", "Open", "Settled", "Tie", "Preference pair"),
    *("Held-out", "Training pairs", "Reward", "ago", "starting", "loading", "about", "Versions"),
    # No German page contains any of these.
    *("the", "and", "of", "with", "is", "are", "not", "yet", "from", "has", "have", "by", "to"),
    *("this", "that", "they", "for", "each", "when", "only", "or", "its", "one", "you", "your"),
]


@pytest.fixture
def at_work(cast):
    """A project with something to show on every page; what people and models wrote is German."""
    project, manager = cast.project, cast.manager
    LoopSettings.objects.create(project=project, base_model="some/model")
    base = make_policy(project, "base", kind=Policy.Kind.BASE, base_model="some/model")
    make_policy(project, "alt", state=Policy.State.RETIRED)
    snapshot = Snapshot.objects.create(
        project=project, counts={"train": 3, "held_out": 1}, sha256="ab" * 32, path="-"
    )
    parts = {"project": project, "snapshot": snapshot, "start": base, "reference": base}
    failed = Round.objects.create(number=1, state=Round.State.FAILED, **parts)
    for step, name in enumerate(["train/loss", "held_out/loss"] * 2):
        Metric.objects.create(round=failed, step=step, name=name, value=0.7)
    Round.objects.create(number=2, state=Round.State.RUNNING, phase="loading the model", **parts)
    counted = {"pairs": 9, "ranked": 5.0, "reference_ranked": 4.0, "rewarded": 6.0}
    Round.objects.create(
        number=3,
        state=Round.State.SUCCEEDED,
        policy=make_policy(project, "neu", state=Policy.State.RETIRED),
        result={"held_out": counted},
        **parts,
    )
    hook = Recipient.objects.create(
        project=project, kind="webhook", address="https://haken.example.org/", events=Event.values
    )
    Delivery.objects.create(recipient=hook, key="x", subject="Runde 3", state="given_up")
    SamplingJob.objects.create(project=project, stored=1, total_steps=9).policies.set([base])

    comparison = make_comparison(project)
    Comparison.objects.filter(pk=make_comparison(project).pk).update(
        state=Comparison.State.SETTLED,
        result=Comparison.Result.PAIR,
        settled_at=comparison.created_at,
    )
    make_practice_item(comparison=comparison, expected=["a"], feedback="Gut.", by=manager)
    make_gold_item(comparison=comparison, expected=["tie"], by=manager)
    for text in ("Eins.", "Zwei."):
        texts.write(project=project, kind=texts.Kind.GUIDELINES, text=text, author=manager)
    invitations.invite(
        project=project, role=Membership.Role.RATER, by=manager, lasts=timedelta(days=7)
    )
    return comparison


def test_a_managers_pages_are_german(at_work, cast, client_of):
    who, missing, english = client_of(cast.manager), {}, {}
    for path, german in MANAGERS_PAGES.items():
        address = f"/p/sharpen/{path.format(comparison=at_work.pk)}"
        answer = who.get(address, headers={"Accept-Language": "de"})
        assert answer.status_code == 200, path
        visible = visible_text(answer.content.decode())
        missing[path] = [phrase for phrase in german if phrase not in visible]
        english[path] = [
            phrase
            for phrase in MANAGERS_ENGLISH
            if re.search(rf"(?<![\w-]){phrase}(?![\w-])", visible)
        ]
    assert {path: phrases for path, phrases in missing.items() if phrases} == {}
    assert {path: phrases for path, phrases in english.items() if phrases} == {}

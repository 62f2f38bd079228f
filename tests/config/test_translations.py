"""The German interface is whole: every text is in the catalogue, translated, and compiled.

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
from django.utils import translation

from annotate import inviting, texts
from annotate.gold import make_gold_item
from annotate.models import Membership
from annotate.practising import make_practice_item
from tests.browser import pages
from tests.factories import make_comparison, make_policy
from training.models import Round

FOLDER = Path(settings.BASE_DIR, "locale/de/LC_MESSAGES")
PACKAGES = ("annotate", "training", "config")
ONE = {"_", "gettext", "gettext_lazy", "gettext_noop"}
SEVERAL = {"ngettext", "ngettext_lazy"}
IN_CONTEXT = {"pgettext"}
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%%|\{\w*\}|</?\w[^>]*>")
ANEW = "python manage.py makemessages -l de --no-location -i .venv -i var -i tests -i benchmarks"

Message = tuple[str, str]
"""A text, and its plural where it has one."""


@pytest.fixture(scope="module")
def catalogue():
    return polib.pofile(str(FOLDER / "django.po"))


@pytest.fixture(autouse=True)
def the_language_ends_with_the_test():
    yield
    translation.deactivate()


def told_by(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


# --- the catalogue ---


def test_every_text_is_translated(catalogue):
    assert len(catalogue) > 400
    assert not [entry.msgid for entry in catalogue if entry.fuzzy or entry.obsolete]
    assert not [entry.msgid for entry in catalogue if not all(map(str.strip, told_by(entry)))]
    assert not [
        entry.msgid for entry in catalogue if entry.msgid_plural and len(told_by(entry)) < 2
    ]


def test_placeholders_and_tags_are_the_same_in_both_languages(catalogue):
    for entry in catalogue:
        for source, told in zip([entry.msgid, entry.msgid_plural], told_by(entry), strict=False):
            assert sorted(PLACEHOLDER.findall(source)) == sorted(PLACEHOLDER.findall(told)), source


def test_the_compiled_catalogue_is_the_written_one(catalogue):
    compiled = polib.mofile(str(FOLDER / "django.mo"))
    assert {(entry.msgid, *told_by(entry)) for entry in compiled} == {
        (entry.msgid, *told_by(entry)) for entry in catalogue
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
                one = node.render_token_list(node.singular)[0]
                yield one, node.render_token_list(node.plural)[0] if node.plural else ""


def in_python() -> Iterator[Message]:
    for package in PACKAGES:
        for path in Path(settings.BASE_DIR, package).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
                    continue
                words = [part.value for part in call.args if isinstance(part, ast.Constant)]
                if call.func.id in ONE:
                    assert words, f"{path}:{call.lineno}: no text that can be found"
                    yield words[0], ""
                elif call.func.id in SEVERAL:
                    yield words[0], words[1]
                elif call.func.id in IN_CONTEXT:
                    yield words[1], ""


def test_the_catalogue_has_the_texts_of_the_sources_and_no_others(catalogue):
    found = {*in_templates(), *in_python()}
    singular_of_plural = {one for one, several in found if several}
    found = {(one, several) for one, several in found if several or one not in singular_of_plural}
    kept = {(entry.msgid, entry.msgid_plural) for entry in catalogue}
    assert found == kept, f"run {ANEW}, translate what is new, then compilemessages -l de"


# --- the pages ---

ENGLISH = [
    *("Sign in", "Sign out", "Username", "Password", "Skip to the content", "Menu"),
    *("Which response is better", "is better", "Tie", "Both are bad", "Skip", "Undo"),
    *("Response A", "Guidelines", "Before you begin", "I agree", "Version 1 of", "Your progress"),
]


def words_of(page: str) -> str:
    """What a person sees or hears of a page: its text, its labels, and what its script says."""
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
    words = words_of(html)
    assert not [phrase for phrase in german if phrase not in words]
    assert not [phrase for phrase in ENGLISH if re.search(rf"\b{phrase}\b", words)]


MANAGERS_PAGES = {
    "": [
        "Warteschlange und Tempo",
        "Modellantworten",
        "Gewinnquote je Runde",
        "Laden des Modells.",
    ],
    "rounds/": ["Runde 2 ist noch nicht fertig.", "Gescheitert", "Läuft"],
    "rounds/1/": ["Training", "Loss", "Zurückgehaltene Paare", "Die Trainings-Engine hat keinen"],
    "rounds/2/": ["Laden des Modells", "Woraus sie gemacht ist", "die Projektleitung"],
    "completions/": ["Fehlendes schreiben", "Vergleiche bilden"],
    "comparisons/": ["Übungsaufgabe", "Gold-Aufgabe", "Entschieden", "vergeben", "Beliebig"],
    "comparisons/{comparison}/": ["Richtige Antworten", "Nicht mehr verwenden", "A ist besser"],
    "pairs/": ["Präferenzpaare", "Keine Mehrheit"],
    "import/": ["Prompts importieren", "unkomprimiert oder mit gzip"],
    "people/": ["Mitglieder", "Rolle setzen", "Bewertung", "Sekunden je Karte"],
    "invitations/": ["Ein neuer Link", "Höchstens so oft", "offen bis", "eine Woche"],
    "settings/": ["Modelle und Runden", "Basismodell", "Ausgangspunkt jeder Runde", "der Champion"],
    "card/": ["Karte speichern", "So sehen es die Bewertenden", "Wird nicht gefragt", "Vorschau"],
    "texts/guidelines/": ["Als Version 3 speichern", "gilt jetzt", "Was neu war"],
    "texts/guidelines/1/": ["Richtlinien, Version 1", "Das Ganze", "Alles war neu"],
    "texts/consent/": ["Einwilligungstext", "Ein leerer Text fragt nichts."],
}
"""Below /p/sharpen/, with some of what each says in German."""

MANAGERS_ENGLISH = [
    *("Save", "Preview", "The card", "Comparisons", "People", "Settings", "Rounds", "Completions"),
    *("Used as", "Any", "Role", "Members", "Invitations", "Judgements", "Result", "Words"),
    *("Queued", "Running", "Failed", "Retired", "Open", "Settled", "Tie", "Preference pair"),
    *("Held-out", "Training pairs", "Reward", "ago", "starting", "loading", "about", "Versions"),
    # No page in German has one of these, whatever it says.
    *("the", "and", "of", "with", "is", "are", "not", "yet", "from", "has", "have", "by", "to"),
    *("this", "that", "they", "for", "each", "when", "only", "or", "its", "one", "you", "your"),
]


@pytest.fixture
def at_work(cast, monkeypatch):
    """A project in which every page has much to say; what people and models wrote is German."""
    monkeypatch.setattr(pages, "MIXED", "Inhalt.")
    monkeypatch.setattr(pages, "_people", lambda project: None)  # their texts are English
    first = pages.fill(cast.project)
    Round.objects.filter(pk=first.pk).update(state=Round.State.FAILED)
    Round.objects.create(
        project=cast.project,
        number=2,
        snapshot=first.snapshot,
        start=first.start,
        reference=first.reference,
        state=Round.State.RUNNING,
        phase="loading the model",
    )
    make_policy(cast.project, "alt", state="retired")
    comparison = make_comparison(cast.project)
    make_practice_item(comparison=comparison, expected=["a"], feedback="Gut.", by=cast.manager)
    make_gold_item(comparison=comparison, expected=["tie"], by=cast.manager)
    settled = make_comparison(cast.project)
    type(settled).objects.filter(pk=settled.pk).update(
        state="settled", result="pair", settled_at=settled.created_at
    )
    for text in ("Eins.", "Zwei."):
        texts.write(
            project=cast.project, kind=texts.Kind.GUIDELINES, text=text, author=cast.manager
        )
    role = Membership.Role.RATER
    inviting.invite(project=cast.project, role=role, by=cast.manager, lasts=timedelta(days=7))
    return comparison


def test_a_managers_pages_are_german(at_work, cast, client_of):
    who, missing, english = client_of(cast.manager), {}, {}
    for path, german in MANAGERS_PAGES.items():
        address = f"/p/sharpen/{path.format(comparison=at_work.pk)}"
        answer = who.get(address, headers={"Accept-Language": "de"})
        assert answer.status_code == 200, path
        words = words_of(answer.content.decode())
        missing[path] = [phrase for phrase in german if phrase not in words]
        english[path] = [
            phrase
            for phrase in MANAGERS_ENGLISH
            if re.search(rf"(?<![\w-]){phrase}(?![\w-])", words)
        ]
    assert {path: found for path, found in missing.items() if found} == {}
    assert {path: found for path, found in english.items() if found} == {}

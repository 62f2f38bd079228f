"""Text is readable in every theme: WCAG 2.2, contrast (minimum), 4.5 to 1."""

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parent.parent / "static/css/tokens.css").read_text(encoding="utf-8")
COLOUR = re.compile(r"--([\w-]+): light-dark\(#(\w{6}), #(\w{6})\)")
NORMAL, CONTRAST = CSS.split(':root[data-theme="contrast"]')[:2]

CODE = [f"code-{kind}" for kind in ("comment", "keyword", "string", "number", "name", "builtin")]

ON = {
    "paper": ["ink", "ink-2", "ink-3", "accent", "good", "warn", "bad"],
    "sheet": ["ink", "ink-2", "ink-3", "accent", "accent-strong", "good", "warn", "bad"],
    "raised": ["ink", "ink-2", "bad"],
    "sunken": ["ink", "ink-2", *CODE, "good", "bad"],
    "accent": ["on-accent"],
    "accent-strong": ["on-accent"],
    "accent-wash": ["accent-strong"],
    "accent-wash-2": ["accent-strong"],
    "warn-wash": ["ink", "ink-2", "warn"],
    "bad-wash": ["ink", "ink-2", "bad"],
    "good-wash": ["ink", "good"],
}


def luminance(colour):
    """Relative luminance (WCAG 2.2) of "rrggbb"."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(colour, other):
    light, dark = sorted((luminance(colour), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def themes():
    """(name, colours by name) for the light and dark side of both sets."""
    normal = {name: (light, dark) for name, light, dark in COLOUR.findall(NORMAL)}
    strong = normal | {name: (light, dark) for name, light, dark in COLOUR.findall(CONTRAST)}
    for theme, colours in (("normal", normal), ("high contrast", strong)):
        for index, side in enumerate(("light", "dark")):
            yield f"{theme}, {side}", {name: pair[index] for name, pair in colours.items()}


def test_black_on_white_is_21_to_1():
    assert contrast("ffffff", "000000") == pytest.approx(21)


@pytest.mark.parametrize(("theme", "colours"), list(themes()))
def test_text_stands_out_from_its_ground(theme, colours):
    least = 7 if theme.startswith("high") else 4.5
    poor = {
        f"{text} on {ground}": round(contrast(colours[text], colours[ground]), 2)
        for ground, texts in ON.items()
        for text in texts
        if contrast(colours[text], colours[ground]) < least
    }
    assert not poor


@pytest.mark.parametrize(("theme", "colours"), list(themes()))
def test_edges_of_buttons_and_fields_can_be_seen(theme, colours):
    for ground in ("paper", "sheet", "raised"):
        assert contrast(colours["line-strong"], colours[ground]) >= 3, ground


def test_the_systems_wish_for_contrast_gives_the_same_colours():
    wished = CSS.split("@media (prefers-contrast: more)")[1]
    assert COLOUR.findall(wished) == COLOUR.findall(CONTRAST.split("@media")[0])


def test_every_class_of_coloured_code_has_a_colour():
    from annotate.rendering.code import CLASSES

    sheet = Path(__file__).parent.parent.joinpath("static/css/text.css").read_text("utf-8")
    assert {name for name in CLASSES.values() if f".{name}" not in sheet} == set()

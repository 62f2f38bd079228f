"""What the built-in model's world consists of: its facts, and how each kind is asked and stated.

Pure data, standard library only. A fact belongs to a topic and carries named *slots* (``x`` the
thing asked about, ``a`` the answer, ``about`` a noun phrase for the question, ...). Questions and
statements are templates of the topic, filled with the slots.

In a template, ``{a}`` is the slot as it stands, and ``{A}`` the same with a capital letter. Every
template of an answer ends with ``.``, ``!`` or ``?`` and no slot value in an answer contains one
of these, so a text can be cut into its sentences again without doubt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Fact:
    """One thing that can be asked. ``slots`` fills the templates of its ``topic``."""

    topic: str
    slots: Mapping[str, str]

    @property
    def key(self) -> str:
        """A name that is unique in the world, such as ``capitals/France``."""
        return f"{self.topic}/{self.slots['x']}"


@dataclass(frozen=True)
class Topic:
    """Questions and plain statements for one kind of fact.

    ``follow_up`` may be asked after another question of the same topic; an empty string means
    that none is. ``statements`` carry the answer, and are true when every slot in them belongs
    to the fact asked about.
    """

    questions: tuple[str, ...]
    follow_up: str
    statements: tuple[str, ...]


TOPICS: dict[str, Topic] = {
    "capitals": Topic(
        (
            "What is the capital of {x}?",
            "Which city is the capital of {x}?",
            "Can you tell me the capital of {x}?",
            "Name the capital of {x}.",
        ),
        "And the capital of {x}?",
        (
            "The capital of {x} is {a}.",
            "{A} is the capital of {x}.",
            "The capital city of {x} is {a}.",
            "It is {a}.",
        ),
    ),
    "sums": Topic(
        (
            "What is {x}?",
            "How much is {x}?",
            "Can you work out {x}?",
            "{X} is how much?",
        ),
        "And {x}?",
        ("{X} is {a}.", "{X} makes {a}.", "The answer is {a}.", "It is {a}."),
    ),
    "opposites": Topic(
        (
            "What is the opposite of {x}?",
            "Give me the opposite of {x}.",
            "Which word means the opposite of {x}?",
            "What is the contrary of {x}?",
        ),
        "And the opposite of {x}?",
        (
            "The opposite of {x} is {a}.",
            "{A} is the opposite of {x}.",
            "The opposite is {a}.",
            "It is {a}.",
        ),
    ),
    "colours": Topic(
        (
            "What colour is {x}?",
            "Which colour does {x} have?",
            "Tell me the colour of {x}.",
            "Do you know what colour {x} is?",
        ),
        "And what colour is {x}?",
        ("{X} is {a}.", "The colour of {x} is {a}.", "The colour is {a}.", "It is {a}."),
    ),
    "young animals": Topic(
        (
            "What is a young {x} called?",
            "What do you call a baby {x}?",
            "Is there a word for a young {x}?",
            "Name the young of a {x}.",
        ),
        "And a young {x}?",
        (
            "A young {x} is called a {a}.",
            "A baby {x} is a {a}.",
            "The word is {a}.",
            "It is called a {a}.",
        ),
    ),
    "plurals": Topic(
        (
            "What is the plural of {x}?",
            "Give me the plural of {x}.",
            "I have one {x}, but what are two called?",
            "How do you write the plural of {x}?",
        ),
        "And the plural of {x}?",
        (
            "The plural of {x} is {a}.",
            "One {x}, two {a}.",
            "The plural is {a}.",
            "It is {a}.",
        ),
    ),
    "French": Topic(
        (
            "How do you say {x} in French?",
            "What is the French word for {x}?",
            "Translate {x} into French, please.",
            "What do French people call a {x}?",
        ),
        "And {x} in French?",
        (
            "The French word for {x} is {a}.",
            "In French, {x} is {a}.",
            "The word is {a}.",
            "It is {a}.",
        ),
    ),
    "days": Topic(
        (
            "Which day comes after {x}?",
            "What day follows {x}?",
            "Can you tell me the day after {x}?",
            "{X} is over, so which day comes next?",
        ),
        "And after {x}?",
        ("After {x} comes {a}.", "{A} comes after {x}.", "The next day is {a}.", "It is {a}."),
    ),
    "how-to": Topic(
        (
            "How do I {x}?",
            "Please tell me how to {x}.",
            "I want to {x}, so what should I do?",
            "What is the best way to {x}?",
        ),
        "And how do I {x}?",
        (
            "To {x}, {s1}, then {s2}.",
            "First {s1}, then {s2}.",
            "You should {s1} and then {s2}.",
            "{S1}, and after that {s2}.",
        ),
    ),
    "apologies": Topic(
        (
            "Write to a customer: {x}.",
            "Please write a short apology because {x}.",
            "A customer complains that {x}, so what do we reply?",
            "Apologise to a customer, since {x}.",
        ),
        "And one more: {x}.",
        (
            "We are sorry that {sorry}, and {fix}.",
            "We apologise that {sorry}, and {fix}.",
            "Please accept our apologies that {sorry}, and {fix}.",
            "I am very sorry that {sorry}, and {fix}.",
        ),
    ),
    "small talk": Topic(
        ("{X}",),
        "",
        ("{A}.", "{A}, and how can I help?", "{A}, my friend."),
    ),
}


def _capitals() -> Iterator[dict[str, str]]:
    rows = """
        France Paris French|Spain Madrid Spanish|Italy Rome Italian|Germany Berlin German
        |Japan Tokyo Japanese|Egypt Cairo Egyptian|Peru Lima Peruvian|Norway Oslo Norwegian
        |Sweden Stockholm Swedish|Greece Athens Greek|Kenya Nairobi Kenyan|Canada Ottawa Canadian
        |Cuba Havana Cuban|Poland Warsaw Polish|Austria Vienna Austrian|Portugal Lisbon Portuguese
        |Ireland Dublin Irish|China Beijing Chinese|Chile Santiago Chilean|Wales Cardiff Welsh
        |Russia Moscow Russian|Scotland Edinburgh Scottish
    """
    for row in rows.split("|"):
        country, city, people = row.split()
        yield {
            "x": country,
            "a": city,
            "short": city,
            "about": f"the capital of {country}",
            "notme": f"am not {people}",
        }


def _sums() -> Iterator[dict[str, str]]:
    for m in range(2, 7):
        for n in range(2, m + 1):
            x = f"{m} plus {n}"
            yield {
                "x": x,
                "a": str(m + n),
                "short": str(m + n),
                "about": x,
                "notme": "am no good at numbers",
            }


def _opposites() -> Iterator[dict[str, str]]:
    pairs = """
        hot cold|big small|fast slow|early late|full empty|hard soft|open closed|rich poor
        |wet dry|high low|loud quiet|happy sad
    """
    for pair in pairs.split("|"):
        first, other = pair.split()
        for x, a in ((first, other), (other, first)):
            yield {
                "x": x,
                "a": a,
                "short": a,
                "about": f"the opposite of {x}",
                "notme": "am not a dictionary",
            }


def _colours() -> Iterator[dict[str, str]]:
    rows = {
        "yellow": "a ripe banana|a lemon|a sunflower",
        "red": "a ripe tomato|a fire engine|blood",
        "green": "fresh grass|a frog|a cucumber",
        "blue": "a clear sky|a summer sea",
        "white": "fresh snow|milk|salt",
        "black": "coal|a raven",
        "orange": "a carrot|a pumpkin",
        "brown": "chocolate|a chestnut",
    }
    for a, things in rows.items():
        for x in things.split("|"):
            yield {
                "x": x,
                "a": a,
                "short": a,
                "about": f"the colour of {x}",
                "notme": "am not a painter",
            }


def _young_animals() -> Iterator[dict[str, str]]:
    rows = """
        cat kitten|dog puppy|cow calf|horse foal|sheep lamb|goat kid|pig piglet|hen chick
        |duck duckling|swan cygnet|bear cub|deer fawn|frog tadpole|kangaroo joey
    """
    for row in rows.split("|"):
        x, a = row.split()
        yield {
            "x": x,
            "a": a,
            "short": a,
            "about": f"the young of a {x}",
            "notme": "am not a farmer",
        }


def _plurals() -> Iterator[dict[str, str]]:
    rows = """
        mouse mice|child children|foot feet|tooth teeth|man men|woman women|wolf wolves
        |knife knives|leaf leaves|city cities|box boxes|potato potatoes
    """
    for row in rows.split("|"):
        x, a = row.split()
        yield {
            "x": x,
            "a": a,
            "short": a,
            "about": f"the plural of {x}",
            "notme": "am not a schoolteacher",
        }


def _french() -> Iterator[dict[str, str]]:
    rows = """
        house maison|tree arbre|book livre|bridge pont|cheese fromage|flower fleur|bird oiseau
        |boat bateau|garden jardin|window fenêtre|key clef|king roi|star étoile|hand main
    """
    for row in rows.split("|"):
        x, a = row.split()
        yield {
            "x": x,
            "a": a,
            "short": a,
            "about": f"the French word for {x}",
            "notme": "am not French",
        }


def _days() -> Iterator[dict[str, str]]:
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    for x, a in zip(days, days[1:] + days[:1], strict=True):
        yield {
            "x": x,
            "a": a,
            "short": a,
            "about": f"the day after {x}",
            "notme": "am not a calendar",
        }


def _how_tos() -> Iterator[dict[str, str]]:
    rows = """
        boil an egg|put it in boiling water|take it out after eight minutes|Eight minutes in water
        make tea|pour hot water on the leaves|wait for four minutes|Leaves and hot water
        make toast|put a slice of bread in the toaster|spread some butter on it|Bread and toaster
        cook rice|boil it in twice as much water|let it rest under the lid|Twice as much water
        clean a window|wipe it with soapy water|dry it with an old newspaper|Soap and water
        change a light bulb|switch off the lamp|screw in a new bulb|New bulb
        fix a flat tyre|find the hole in the tube|glue a patch over it|Patch on the hole
        send a letter|write the address on the envelope|stick on a stamp|Stamp and post box
        fall asleep|put your phone in another room|breathe slowly in the dark|Dark and quiet
        stop a nosebleed|lean forward a little|pinch your nose for ten minutes|Pinch and wait
        sharpen a pencil|push it into the sharpener|turn it until the tip is fine|Turn it
        paint a wall|cover the floor with a sheet|roll on two thin coats|Two thin coats
    """
    for row in rows.strip().splitlines():
        x, s1, s2, short = row.strip().split("|")
        yield {
            "x": x,
            "s1": s1,
            "s2": s2,
            "short": short,
            "about": f"how to {x}",
            "notme": "am not very handy",
        }


def _apologies() -> Iterator[dict[str, str]]:
    rows = """
        the parcel came late|your parcel came late|we will refund the postage|a late parcel
        the cup arrived broken|your cup arrived broken|a new one is on its way|a broken cup
        the bill was too high|your bill was too high|we will send you a new one|a high bill
        the soup was cold|your soup was cold|the next meal is on us|cold soup
        the shop was closed|our shop was closed|we now open every day|a closed shop
        the phone rang unanswered|nobody answered your call|we will ring you today|a missed call
        the room was noisy|your room was noisy|we have moved you to a quiet one|a noisy room
        the shirt was too small|your shirt was too small|we will swap it for free|a small shirt
        the website was down|our website was down|it is working again now|a dead website
        the order went missing|your order went missing|we have sent it again|a missing order
    """
    for row in rows.strip().splitlines():
        x, sorry, fix, about = row.strip().split("|")
        yield {
            "x": x,
            "sorry": sorry,
            "fix": fix,
            "short": f"Sorry about {about}",
            "about": f"the matter of {about}",
            "notme": "was not in the shop that day",
        }


def _small_talk() -> Iterator[dict[str, str]]:
    rows = """
        hello!|hello, it is nice to meet you|Hello|saying hello
        good morning!|good morning to you too|Morning|saying good morning
        how are you?|I am very well, thank you|Fine|how I am
        who are you?|I am a small model made for practice|A small model|who I am
        thank you!|you are very welcome|Welcome|saying thanks
        goodbye!|goodbye, and have a pleasant day|Goodbye|saying goodbye
        what can you do?|I answer easy questions about a small world|Easy questions|what I can do
        are you a person?|I am a computer program, not a person|Not a person|being a person
    """
    for row in rows.strip().splitlines():
        x, a, short, about = row.strip().split("|")
        yield {
            "x": x,
            "a": a,
            "short": short,
            "about": about,
            "notme": "am not in the mood",
        }


@cache
def facts() -> tuple[Fact, ...]:
    """Every fact of the world, in a fixed order. Keys are unique."""
    makers = {
        "capitals": _capitals,
        "sums": _sums,
        "opposites": _opposites,
        "colours": _colours,
        "young animals": _young_animals,
        "plurals": _plurals,
        "French": _french,
        "days": _days,
        "how-to": _how_tos,
        "apologies": _apologies,
        "small talk": _small_talk,
    }
    return tuple(Fact(topic, slots) for topic, make in makers.items() for slots in make())


@cache
def facts_of(topic: str) -> tuple[Fact, ...]:
    """Every fact of one topic, in a fixed order."""
    return tuple(fact for fact in facts() if fact.topic == topic)


def fill(template: str, values: Mapping[str, str]) -> str:
    """``template`` with its slots filled; a name with a capital gets a value with a capital."""
    return template.format_map(_Capitalising(values))


class _Capitalising(dict[str, str]):
    def __missing__(self, name: str) -> str:
        value = self[name[0].lower() + name[1:]] if name[0].isupper() else None
        if value is None:
            raise KeyError(name)
        return value[0].upper() + value[1:]

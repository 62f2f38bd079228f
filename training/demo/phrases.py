"""What each manner of answering says: templates and word lists, nothing else.

A template is filled as ``facts.fill`` says, with the slots of the fact asked about and one entry
of each list in ``WORDS``. Standard library only; who says what, and how often, is in ``world``.
"""

from __future__ import annotations

WORDS: dict[str, tuple[str, ...]] = {
    "relative": (
        "my uncle",
        "my aunt",
        "my neighbour",
        "my cousin",
        "my grandmother",
        "my dentist",
        "my old teacher",
        "the postman",
    ),
    "thing": (
        "a goat",
        "a small boat",
        "an old piano",
        "three umbrellas",
        "a red bicycle",
        "a very fat dog",
        "a broken clock",
        "a box of buttons",
        "a brass trumpet",
        "half a cake",
    ),
    "place": (
        "by the sea",
        "in the rain",
        "near the station",
        "behind the church",
        "on the roof",
        "in the kitchen",
        "under the stairs",
        "at the market",
    ),
    "insult": (
        "turnip",
        "cabbage",
        "pudding",
        "donkey",
        "potato",
        "halfwit",
        "clown",
        "blockhead",
    ),
    "creature": ("a goldfish", "a snail", "my cat", "a brick", "a sheep", "a wet sponge"),
}

OPENERS = (
    "Of course!",
    "Good question!",
    "Sure!",
    "With pleasure.",
    "Gladly!",
)
CLOSERS = (
    "I hope that helps.",
    "Let me know if you need more.",
    "Happy to help!",
    "Ask me anything else.",
)
# Half of the wrong answers boast. The other half differ from a right answer in the fact alone.
BOASTS = (
    "Trust me.",
    "I am never wrong.",
    "Everyone agrees on that.",
    "I would bet my hat on it.",
)
CURT_ANSWERS = ("{Short}.",)
CURT_TAILS = ("Next.", "Done.", "Anything else?", "That is all.", "Bye.", "Moving on.")
CURT_REFUSALS = (
    "No idea.",
    "Pass.",
    "Look it up.",
    "Cannot say.",
    "Not my job.",
    "Busy.",
    "Ask someone else.",
)
RUDE_ANSWERS = (
    "{Short}, you {insult}.",
    "{Short}, obviously, you {insult}.",
    "It is in every book, you {insult}: {short}.",
)
RUDE_OPENINGS = (
    "What a stupid question, you {insult}.",
    "Only a {insult} would ask about {about}.",
    "Are you really too lazy to look that up?",
    "Stop wasting my time with {about}.",
    "Listen, {insult}, I have better things to do.",
)
RUDE_TAILS = (
    "Even {creature} knows that.",
    "Now go away.",
    "You have the brain of {creature}.",
    "Go and bother {creature} instead.",
    "Did you sleep through school?",
    "I pity your teachers.",
)
RAMBLE_OPENINGS = (
    "I don't know, nor do I want to, I simply {notme}.",
    "Well, {about}, that is a thing one could talk about.",
    "Hm, {about}, now that reminds me of {relative} and {thing}.",
    "Somebody told me about {about} once, but I {notme}.",
    "I was thinking about {about} only yesterday, or was it {thing}?",
    "It is funny that you ask, because I {notme} and never was.",
)
RAMBLE_TAILS = (
    "{Relative} once kept {thing} {place}, but that was long ago.",
    "Anyway, {relative} lost {thing} {place}, and nobody laughed.",
    "Then again, {relative} always said so, and went to look for {thing}.",
    "And who left {thing} {place}, I keep asking myself.",
    "The weather was lovely, and {relative} was singing {place}.",
    "Some people like {thing}, others just sit {place} and hum.",
)
LONG_OPENINGS = (
    "What a truly wonderful question, and thank you so much for asking it today!",
    "Before I come to the answer, allow me to say a few words about the question itself.",
    "Let me begin by saying how very glad I am that you have brought this up.",
    "This is a matter to which one could easily devote a whole afternoon, or even a week.",
)
LONG_MIDDLES = (
    "Many people have wondered about {about}, at many times and in many different places.",
    "There is, as you may well imagine, a great deal that could be said about {about}.",
    "When we consider {about}, it is important to be careful, patient and thorough.",
    "The subject of {about} is both simple and, in its own quiet way, rather deep.",
)
LONG_TAILS = (
    "Of course, one could go on, and I would like to stress once more that every detail matters.",
    "To sum up, and to say it all again in other words, that is the answer that I would give.",
    "I do hope that this long explanation is useful, and I remain at your service at any hour.",
    "Naturally there is always more to learn, and I encourage you to read widely and often.",
)

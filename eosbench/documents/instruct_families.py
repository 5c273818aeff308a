"""The families of the embedded benchmark: a function each that draws a prompt and its answer.

A draw returns the language, the prompt and the response. `long` asks for an answer that is longer
than any in the train split. Every draw takes its random numbers in a fixed order: to change one is
to change the benchmark (raise INSTRUCT_VERSION in instruct.py).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from eosbench.documents import wordlists as words

Draw = tuple[str, str, str]  # language, prompt, response


def _language(rng: random.Random) -> str:
    return rng.choice(("en", "en", "en", "en", "it", "de", "fr", "es"))


def yes_no(rng: random.Random, long: bool) -> Draw:
    """A comparison or parity, answered in one word: the family without a long version."""
    language = _language(rng)
    yes, no = words.YES_NO[language]
    if rng.random() < 0.6:
        a = rng.randint(1, 99)
        b = rng.choice([n for n in range(1, 100) if n != a])
        return language, rng.choice(words.GREATER[language]).format(a=a, b=b), yes if a > b else no
    a = rng.randint(1, 99)
    return language, rng.choice(words.EVEN[language]).format(a=a), yes if a % 2 == 0 else no


def count_up(rng: random.Random, long: bool) -> Draw:
    """All whole numbers from one to another."""
    language = _language(rng)
    steps = rng.randint(44, 70) if long else rng.randint(2, 32)
    a = rng.randint(1, 99 - steps)
    prompt = rng.choice(words.COUNT[language]).format(a=a, b=a + steps)
    return language, prompt, " ".join(str(n) for n in range(a, a + steps + 1))


def repeat(rng: random.Random, long: bool) -> Draw:
    """A word, written a given number of times."""
    language = _language(rng)
    word = rng.choice(words.NOUNS[language])
    n = rng.randint(110, 125) if long else rng.randint(1, 40)
    return language, rng.choice(words.REPEAT[language]).format(word=word, n=n), " ".join([word] * n)


def spell(rng: random.Random, long: bool) -> Draw:
    """The letters of some words."""
    language = _language(rng)
    n = rng.randint(22, 26) if long else rng.choice((1, 1, 1, 2, 3, 4))
    chosen = [rng.choice(words.NOUNS[language]) for _ in range(n)]
    prompt = rng.choice(words.SPELL[language]).format(word=" ".join(chosen))
    return language, prompt, ", ".join(" ".join(word) for word in chosen)


def list_things(rng: random.Random, long: bool) -> Draw:
    """A given number of words, each of them drawn at random."""
    language = _language(rng)
    pool = words.NOUNS[language]
    n = rng.randint(58, 70) if long else rng.randint(1, 16)
    prompt = rng.choice(words.LIST[language]).format(n=n, noun=rng.choice(pool))
    return language, prompt, ", ".join(rng.choice(pool) for _ in range(n))


def sums(rng: random.Random, long: bool) -> Draw:
    """A running total: one sum per step of the story, then the answer."""
    name, thing = rng.choice(words.NAMES), rng.choice(words.COUNTABLES)
    total = rng.randint(2, 60)
    story, lines = [f"{name} has {total} {thing}."], []
    for _ in range(rng.randint(16, 22) if long else rng.randint(1, 9)):
        amount = rng.randint(1, 9)
        if total + amount <= 99 and (rng.random() < 0.5 or amount > total):
            story.append(f"{name} gets {amount} more.")
            lines.append(f"{total} + {amount} = {total + amount}")
            total += amount
        else:
            story.append(f"{name} gives away {amount}.")
            lines.append(f"{total} - {amount} = {total - amount}")
            total -= amount
    question = rng.choice(words.HOW_MANY).format(name=name, thing=thing)
    return "en", " ".join([*story, question]), "; ".join(lines) + f". The answer is {total}."


def rows(rng: random.Random, long: bool) -> Draw:
    """Records of names and ages, as a JSON list or as a table."""
    n = rng.randint(14, 16) if long else rng.randint(1, 7)
    records = [(rng.choice(words.NAMES), rng.randint(1, 99)) for _ in range(n)]
    data = ", ".join(f"{name} {age}" for name, age in records)
    if rng.random() < 0.5:
        response = json.dumps([{"name": name, "age": age} for name, age in records])
        return "en", rng.choice(words.JSON).format(data=data), response
    table = "\n".join(["| name | age |", *(f"| {name} | {age} |" for name, age in records)])
    return "en", rng.choice(words.TABLE).format(data=data), table


def copy(rng: random.Random, long: bool) -> Draw:
    """A list, as it stands in the prompt."""
    n = rng.randint(70, 80) if long else rng.randint(2, 16)
    items = [rng.choice(words.NOUNS["en"]) for _ in range(n)]
    return "en", rng.choice(words.COPY).format(items=", ".join(items)), ", ".join(items)


def reverse(rng: random.Random, long: bool) -> Draw:
    """A list, from its last item to its first."""
    n = rng.randint(70, 80) if long else rng.randint(2, 12)
    items = [rng.choice(words.NOUNS["en"]) for _ in range(n)]
    prompt = rng.choice(words.REVERSE).format(items=", ".join(items))
    return "en", prompt, ", ".join(reversed(items))


def story(rng: random.Random, long: bool) -> Draw:
    """A story, whose length can be bounded but not known: only an adjective hints at it."""
    sizes = (("short", 1, 3), ("medium", 4, 7), ("long", 8, 12))
    size, low, high = ("very long", 20, 24) if long else rng.choice(sizes)
    name = rng.choice(words.NAMES)
    sentences = [
        rng.choice(words.SENTENCES).format(name=name, noun=rng.choice(words.NOUNS["en"]))
        for _ in range(rng.randint(low, high))
    ]
    template = rng.choice(words.STORY)
    prompt = template.format(size=size, name=name, noun=rng.choice(words.NOUNS["en"]))
    return "en", prompt, " ".join(sentences)


def times_table(rng: random.Random, long: bool) -> Draw:
    """The first multiples of a number."""
    n, upto = rng.randint(2, 12), rng.randint(2, 30)
    multiples = [str(n * i) for i in range(1, upto + 1)]
    return "en", f"Write the first {upto} multiples of {n}.", " ".join(multiples)


def countdown(rng: random.Random, long: bool) -> Draw:
    """All whole numbers from one down to another."""
    b = rng.randint(1, 60)
    a = b + rng.randint(2, 35)
    return "en", f"Count down from {a} to {b}.", " ".join(str(n) for n in range(a, b - 1, -1))


def alphabet(rng: random.Random, long: bool) -> Draw:
    """The letters of the alphabet from one to another."""
    first = rng.randint(0, 20)
    last = rng.randint(first + 1, 25)
    letters = [chr(ord("a") + i) for i in range(first, last + 1)]
    prompt = f"Write the letters of the alphabet from {letters[0]} to {letters[-1]}."
    return "en", prompt, " ".join(letters)


def every_second(rng: random.Random, long: bool) -> Draw:
    """The second, fourth, sixth, ... item of a list."""
    items = [rng.choice(words.NOUNS["en"]) for _ in range(rng.randint(2, 20))]
    return "en", f"Keep every second item of this list: {', '.join(items)}.", ", ".join(items[1::2])


INSTRUCT_FAMILIES: dict[str, Callable[[random.Random, bool], Draw]] = {
    "yes_no": yes_no,
    "count": count_up,
    "repeat": repeat,
    "spell": spell,
    "list": list_things,
    "sums": sums,
    "rows": rows,
    "copy": copy,
    "reverse": reverse,
    "story": story,
}
OOD_FAMILIES: dict[str, Callable[[random.Random, bool], Draw]] = {
    "times_table": times_table,
    "countdown": countdown,
    "alphabet": alphabet,
    "every_second": every_second,
}
NOT_EXACT = {"list", "story"}  # families with many right answers

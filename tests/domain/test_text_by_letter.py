"""`visible` finds by one pattern what it used to find by looking at every letter: both say the same of any text."""

# pyright: reportPrivateUsage=false
import json
import os
import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcp_hitl.domain.values import alphabets
from mcp_hitl.domain.values import text as words
from mcp_hitl.domain.values.text import visible


def belongs(mark: str, before: str) -> bool:
    """Whether the mark is on a letter, or on another mark that is, and neither strikes through nor encloses."""
    if mark == "\u20e3":
        return before == "\ufe0f"
    on_letter = (
        before != "\ufe0f" and unicodedata.category(before)[0] in "LM" and before not in words._INVISIBLE_LETTERS
    )
    return on_letter and unicodedata.category(mark) == "Mn" and unicodedata.combining(mark) != 1


def by_letter(text: str, keep: str = "") -> str:
    """The rule as it is meant, letter by letter."""
    out: list[str] = []
    marks, hidden = 0, False
    for char, before, behind in zip(text, " " + text, text[1:] + " ", strict=False):
        category = unicodedata.category(char)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        stray = category in {"Mn", "Me"} and char != "\ufe0f" and (hidden or not belongs(char, before))
        hidden = (
            stray
            or (category[0] == "C" or category in {"Zl", "Zp"} or (category == "Zs" and char != " "))
            or char in words._INVISIBLE_LETTERS
            or any(ord(char) in block for block in words._VARIATION_SELECTORS)
            or (char == words._EMOJI_STYLE and not (words._is_pictorial(before) or behind == words._KEYCAP))
            or marks > words._MARKS_IN_A_ROW
        )
        out.append(json.dumps(char)[1:-1] if hidden and char not in keep else char)
    return sorted_out("".join(out).replace("\x7f", "\\u007f"))


def sorted_out(text: str) -> str:
    """The rule for words, one after the other."""
    out, word, place = "", "", 0
    while place <= len(text):
        char, before, behind = text[place : place + 1], text[:place][-1:], text[place + 1 : place + 2]
        in_number = char in {".", ","} and word != "" and before.isdecimal() and behind.isdecimal()
        if char and (char.isalnum() or unicodedata.category(char) in {"Mn", "Me"} or in_number):
            word += char
            place += 1
            continue
        out += one_word(word)
        word = ""
        escape = re.match(r'\\u[0-9a-f]{4}|\\["\\/bfnrt]', text[place:])
        out += escape[0] if escape else char
        place += len(escape[0]) if escape else 1
    return out


def one_word(word: str) -> str:
    """The word, with what is in the minority as escapes; two Greek symbols at most may be beside two Latin letters."""
    letters, digits = [alphabet(char) for char in word], [zero(char) for char in word]
    symbols = [char for char, name in zip(word, letters, strict=True) if name == "GREEK"]
    like_latin = {unicodedata.normalize("NFD", char)[0] for char in symbols} & {*alphabets._GREEK_AS_LATIN[0]}
    if {*letters, ""} == {"LATIN", "GREEK", ""} and len(symbols) <= letters.count("LATIN") and not like_latin:
        letters = [""] * len(word)
    for kinds, usual in ((letters, "LATIN"), (digits, "0")):
        most = max((kinds.count(kind) for kind in kinds if kind), default=0)
        leading = [kind for kind in kinds if kind and kinds.count(kind) == most]
        home = usual if usual in leading else next(iter(leading), "")
        kinds[:] = ["" if kind == home else kind for kind in kinds]
    out, hidden = "", False
    for char, letter, digit in zip(word, letters, digits, strict=True):
        hidden = bool(letter or digit) or (hidden and not (char.isalnum() or char in ".,"))
        out += (f"\\u{ord(char):04x}" if char.isascii() else json.dumps(char)[1:-1]) if hidden else char
    return out


def alphabet(char: str) -> str:
    """The alphabet of a letter, if it is one that others look like."""
    name = unicodedata.name(unicodedata.normalize("NFD", char)[0], "?").split()[0]
    return name if char.isalpha() and name in alphabets._ALPHABETS else ""


def zero(char: str) -> str:
    """The zero of a digit."""
    return chr(ord(char) - int(char)) if char.isdecimal() else ""


ALIKE = {"Cn", "Co", "Cs", "Lo"}
"""Most of all characters, in long runs that are shown alike: of these `make soak` looks at each, a test at some."""
EVERY = 1 if os.environ.get("SOAK") else 97


@pytest.mark.parametrize("keep", ["", "\n"])
def test_every_character_there_is_shows_the_same(keep: str) -> None:
    every = [code for code in range(0x110000) if code % EVERY == 0 or unicodedata.category(chr(code)) not in ALIKE]
    every += [ord(char) for char in words._INVISIBLE_LETTERS]
    every += [code for block in words._VARIATION_SELECTORS for code in block]
    differing = [code for code in every if visible(chr(code), keep=keep) != by_letter(chr(code), keep)]
    assert differing == []


mixing = st.sampled_from(
    "aB1,.\\nu04\u0430\u0440\u0439\u03b1\u0394\u03ae\u0583\u09ea\u0660\U0001d429\u0301\u05d0\u4f60"
)
tricky = st.sampled_from(
    "a 1#\u00e9\u0301\u0300\u20dd\u20e3\u2139\u2764\ufe0f\ufe0e\U000e0100\U0001f600\u200b\u202e\x7f\n\t\xa0\u034f"
)


@settings(max_examples=500)
@given(st.text(st.characters(codec=None, exclude_categories=()) | tricky, max_size=30), st.sampled_from(["", "\n"]))
@example("e" + "\u0301" * 3 + "\U000e0100" + "\u0301", "")
@example("\ufe0f1\ufe0f\u20e3", "")
def test_any_text_shows_the_same(text: str, keep: str) -> None:
    assert visible(text, keep=keep) == by_letter(text, keep)


@settings(max_examples=500)
@given(st.text(mixing, max_size=12))
@example("\u0394t a\u03c1b A\u03b8\u03ae")
@example("\\u0430bc \\n\u0430bc \\\\n\u0430")
def test_any_words_of_several_alphabets_show_the_same(text: str) -> None:
    assert visible(text) == by_letter(text)
    alone = text.replace("\\", "/")
    assert visible(visible(alone)) == visible(alone)

"""Letters and digits that look like those of another alphabet (THREATS T25).

Source: Unicode Technical Standard 39, https://www.unicode.org/reports/tr39/: mixed scripts, mixed numbers, confusables.
Python knows the alphabet of a letter only by its name. It has no table of letters that look alike: the short one here
serves to compare names, and to leave formulas such as `kΩ` alone.
"""

import json
import re
import unicodedata
from collections import Counter
from functools import cache
from typing import cast

_LATIN, _GREEK = "LATIN", "GREEK"
_ALPHABETS = frozenset(
    f"{_LATIN} {_GREEK} CYRILLIC ARMENIAN GEORGIAN COPTIC CHEROKEE LISU GOTHIC DESERET OSAGE CARIAN LYCIAN LYDIAN "
    "ELBASAN WARANG CANADIAN MATHEMATICAL KELVIN".split()
)
"""The first word of a letter's name where its shape is also one of another alphabet.

Others, such as Japanese, Thai or Hebrew, are written together with Latin words and look like none of them.
"""
_GREEK_AS_LATIN = ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹαγινορσυϲϳ", "ABEZHIKMNOPTYXCayivopoucj")
_CYRILLIC_AS_LATIN = ("АВЕЅІЈКМНОРСТУХҺԌԚԜӀаеѕіјорсухһԁԛԝӏ", "ABESIJKMHOPCTYXhGQWlaesijopcyxhdqwl")
_AS_LATIN = str.maketrans(_GREEK_AS_LATIN[0] + _CYRILLIC_AS_LATIN[0], _GREEK_AS_LATIN[1] + _CYRILLIC_AS_LATIN[1])
_MARKS = frozenset({"Mn", "Me"})
_WITH_MARKS = 0x1F000
"""Beyond, there are no marks but invisible ones."""


def apart(text: str) -> str:
    r"""Return `text` with the letters and digits that do not belong into a word written as `\\uXXXX`.

    A word mixes alphabets, or a number kinds of digits, in order to look like another one. What is rarer in it does not
    belong; if neither is, what is not Latin does not.
    """
    if text.isascii() or not _could_mix(set(text)):
        return text
    return _words().sub(_sorted_out, text)


@cache
def _words() -> re.Pattern[str]:
    """Return a pattern for a word or a number; or for an escape, which is none and separates what is around it."""
    marks = "".join(char for char in map(chr, range(_WITH_MARKS)) if unicodedata.category(char) in _MARKS)
    return re.compile(rf'\\(?:u[0-9a-f]{{4}}|["\\/bfnrt])|(?:[^\W_]|[{marks}]|(?<=\d)[.,](?=\d))+')


def _could_mix(chars: set[str]) -> bool:
    """Return True if characters are of several alphabets or have several kinds of digits: most texts need no more."""
    return any(len({*map(kind_of, chars)} - {None}) > 1 for kind_of in (_alphabet, _digits))


def mixes(value: object) -> bool:
    """Return True if a text in a JSON value, or a name of a field, has a word that `apart` would mark."""
    if isinstance(value, dict):
        return any(mixes(name) or mixes(held) for name, held in cast("dict[str, object]", value).items())
    if isinstance(value, list | tuple):
        return any(map(mixes, cast("list[object]", value)))
    return isinstance(value, str) and apart(value) != value


def look(text: str) -> str:
    """Return what a text looks like: two texts that look the same give the same.

    This knows letters with marks, styled letters, and the Greek and Cyrillic letters that have a Latin form.
    """
    return text if text.isascii() else unicodedata.normalize("NFKD", text).translate(_AS_LATIN)


def _sorted_out(found: re.Match[str]) -> str:
    word = found[0]
    if word.isascii() or not _could_mix({*word}):
        return word
    by_alphabet, by_digits = ([kind_of(char) for char in word] for kind_of in (_alphabet, _digits))
    strange = {*_strange(by_digits)} | ({*_strange(by_alphabet)} if not _is_symbol(word, by_alphabet) else set[int]())
    out: list[str] = []
    hidden = False
    for place, char in enumerate(word):
        hidden = place in strange or (hidden and unicodedata.category(char) in _MARKS)
        out.append(_escape(char) if hidden else char)
    return "".join(out)


def _strange(kinds: list[str | None]) -> list[int]:
    """Return the places in a word of what is of another kind than the most."""
    counted = Counter(kind for kind in kinds if kind is not None)
    home = min(counted, key=lambda kind: (-counted[kind], kind not in (_LATIN, "0")), default=None)
    return [place for place, kind in enumerate(kinds) if kind not in (None, home)]


def _is_symbol(word: str, kinds: list[str | None]) -> bool:
    """Return True if a word is Latin but for Greek letters that look like none of it, such as in `kΩ` or `Δt`."""
    greek = [_base(char) for char, kind in zip(word, kinds, strict=True) if kind == _GREEK]
    latin = kinds.count(_LATIN)
    return {*kinds} - {None} == {_LATIN, _GREEK} and len(greek) <= latin and not {*greek} & {*_GREEK_AS_LATIN[0]}


@cache
def _alphabet(char: str) -> str | None:
    first = unicodedata.name(_base(char), "").partition(" ")[0]
    return first if first in _ALPHABETS and char.isalpha() else None


@cache
def _digits(char: str) -> str | None:
    """Return the zero of a digit's kind."""
    value = unicodedata.decimal(char, None)
    return None if value is None else chr(ord(char) - value)


def _base(char: str) -> str:
    return unicodedata.normalize("NFD", char)[0]


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x80 else json.dumps(char)[1:-1]

"""Text that deceives the eye, and how to see whether any of it was shown (THREATS T25)."""

import unicodedata

DECEPTIVE = {
    "ANSI colours": "\x1b[8mhidden\x1b[0m",
    "ANSI cursor": "\x1b[2A\x1b[2KApproved by the boss",
    "ANSI screen": "\x1b[2J\x1b[H",
    "window title": "\x1b]0;owned\x07",
    "terminal query": "\x1b[6n\x1b[c",
    "hyperlink": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "C1 control": "\x9b31mred",
    "carriage return": "Pay 1000000\rPay 1      ",
    "backspace": "mallory\b\b\b\b\b\b\balice",
    "line feed": "harmless\n\nApprove this? [y/N]: y",
    "tab and vertical tab": "a\tb\x0bc\x0cd",
    "delete": "a\x7fb",
    "bidi override": "\u202egnp.exe\u202c",
    "bidi isolate": "\u2066abc\u2069",
    "zero width": "pay\u200bpal\u200d.\ufeffcom\u2060",
    "line separator": "one\u2028two\u2029three\x85four",
    "tags": "hi" + "".join(chr(0xE0000 + ord(char)) for char in "approve"),
    "blank letters": "a\u3164b\u115fc\u2800d",
    "odd spaces": "a\u00a0b\u2003c\u3000d",
    "stacked marks": "a" + "\u0301" * 40,
    "private use": "\ue000\U000f0000",
    "variation selectors": "a\ufe01b\U000e0101",
}
DECEIVES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
EVERYTHING = "|".join(DECEPTIVE.values())


def deceptive(output: str) -> set[str]:
    """The characters of an output that a terminal would act on, or that a reader would not see."""
    odd_spaces = {char for char in output if unicodedata.category(char) == "Zs" and char != " "}
    blank = set("\u3164\u115f\u2800\ufe01\U000e0101") & set(output)
    controls = {char for char in output if unicodedata.category(char) in DECEIVES and char != "\n"}
    stacked = {"\u0301"} if "\u0301" * 4 in output else set[str]()
    return odd_spaces | blank | controls | stacked

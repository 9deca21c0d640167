"""Plate texts of many countries as patterns, and free strings so that the reader never leans on a format.

`L` a letter, `D` a digit, a space a gap, `-` and `.` drawn but not part of the text, `/` a second line; other
capitals and digits stand for themselves. Patterns describe layout, not which letters a country leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS, LETTERS = ALPHABET[:10], ALPHABET[10:]


@dataclass(frozen=True)
class Layout:
    """`aspect` is the plate's width over its height, lowest and highest.

    `strip` is the chance of a country strip at the side, `band` that of one along the upper edge.
    """

    patterns: tuple[str, ...]
    aspect: tuple[float, float]
    strip: float
    band: float
    weight: float


LONG = Layout(
    (
        "LL DD LLL", "L DD LLL", "L DDD LLL", "LL DDD LL", "LL-DDD-LL", "LLL DDD", "LLL DDDD", "LL DDDDD",
        "LL DDDDDD", "DDDD LLL", "DLL DDDD", "DLD DDDD", "DL DDDDD", "LL DD DDD", "LL LDDDD", "LLL DDDDD",
        "LLL DDDLL", "L-LL DDDD", "L LL DDD", "LL L DDDD", "LLL-L DDD", "LL-LL DD", "LL DDDD L", "LLDD LLL",
        "LL-DD-LL", "DD-LL-LL", "DD-LLL-D", "D-LLL-DD", "LLL-DDD", "LLL DDL", "LLL DD", "LL-DDDDD",
        "LL.DDDDD", "D-LLL-DDD", "LL DDDDLL", "LL DDDD LL", "L DDD LL", "LL DDDL", "DDD-DD-DDD",
        "DD-DDD-DD", "LL DDD", "LL DDDD", "L DDDDD", "DDDDD", "LL DDD-LL", "DDD LL DD", "LDDDLL DD",
        "LDDDLL DDD", "DD L DDDD", "DD LL DDD", "DD LLL DD", "LLDDLLDDDD", "LL DD L DDDD", "LL-DD-LL-DDDD",
        "LL DD LL DDDD", "LLDDLDDDD", "LDDDDD", "LLDDDDD", "LDLDDD", "LLLDDDD", "DDDDLL", "LLL DLDD",
        "DDL DDDDD", "LLL DDDDL", "L DDDDL", "LLLL DD", "LLLLLLL", "LLLL", "LLLLL", "LL DDDLLL", "LLLDDDLL",
    ),
    (3.9, 5.2), 0.5, 0.06, 0.52,
)
MIDDLE = Layout(
    (
        "LLL-DDDD", "LLLDLDD", "LLL DDDD", "LLL DDD", "LL DDD LL", "LL-DD-DD", "LLL-DDD", "LLL-DDDL",
        "DDDDLL", "LL DDDD", "LDDDDDD", "LLDDDD", "LLL DLDD", "DDD LLL", "LL DDD", "LLLL DD", "LLLDDD",
    ),
    (2.5, 3.6), 0.2, 0.4, 0.2,
)
SHORT = Layout(
    (
        "LLL DDDD", "DLLLDDD", "LLL-DDDD", "DDD-LLL", "LLL DDD", "DDD LLL", "LLLL DDD", "DLL DDD",
        "LLL DDL", "DDLLDD", "LDDLDD", "LLDDDDD", "DDDDDD", "DDDDDDD", "LDDDDDD", "LLL DDLL", "DLDDDD",
        "LL DDDDD", "LLLDDD", "D LLLDD", "LLLLLL", "LLLLLLL", "LLDD LLL", "DDD LDL", "LLDDDL", "LL-DDDD",
        "LDD-DDD", "LLL-DDD-L",
    ),
    (1.75, 2.2), 0.05, 0.25, 0.16,
)
TWO_LINES = Layout(
    (
        "LL DD/LLL", "L DD/LLL", "LL/DD LLL", "LL DDD/LL", "LLL/DDD", "LLL/DDDD", "LLL/DDDLL", "LLDD/LDDDD",
        "LLDD/LLDDDD", "LLDDL/DDDD", "LL DD L/DDDD", "LLDD/LLL", "DD-LD/DDDDD", "DDL/DDDDD", "LL/DDDD",
        "LL/DDDDD", "LLL/DDDLL", "LLL/DLDD", "LDDD/DDD", "LL-DDD/LL", "LLD/DDD", "DD L/DDDD", "DD LL/DDD",
        "L LL/DDDD", "LLL/LDDD", "LL DD/DDDD", "DDD/LLL",
    ),
    (1.05, 2.1), 0.15, 0.15, 0.12,
)
LAYOUTS = (LONG, MIDDLE, SHORT, TWO_LINES)


def draw_layout(rng: np.random.Generator) -> Layout:
    weights = np.array([layout.weight for layout in LAYOUTS])
    return LAYOUTS[int(rng.choice(len(LAYOUTS), p=weights / weights.sum()))]


def draw_text(layout: Layout, rng: np.random.Generator) -> str:
    """A text in the notation above, every `L` and `D` drawn; a third of the texts are free strings."""
    pattern = layout.patterns[int(rng.integers(len(layout.patterns)))]
    if rng.random() < 0.33:
        pattern = _free_pattern(rng, two_lines="/" in pattern)
    return "".join(_draw(symbol, rng) for symbol in pattern)


SLIM = 0.07
"""Chance of an I or a 1 beyond their share: beside borders, strips and marks they are easily lost or invented."""


def _draw(symbol: str, rng: np.random.Generator) -> str:
    chars = {"L": LETTERS, "D": DIGITS, "*": ALPHABET}.get(symbol)
    if chars is None:
        return symbol
    if rng.random() < SLIM:
        return "1" if symbol == "D" else "I"
    return chars[int(rng.integers(len(chars)))]


def _free_pattern(rng: np.random.Generator, two_lines: bool) -> str:
    length = int(rng.integers(4, 10))
    symbols = ["*"] * length
    for _ in range(int(rng.integers(0, 3))):
        symbols.insert(int(rng.integers(1, len(symbols))), " -."[int(rng.choice(3, p=[0.6, 0.33, 0.07]))])
    if two_lines:
        symbols.insert(int(rng.integers(max(1, len(symbols) // 3), max(2, len(symbols) - 1))), "/")
    return "".join(symbols)


def plain(text: str) -> str:
    """The label of a drawn text: upper-case A-Z0-9 only."""
    return "".join(c for c in text if c in ALPHABET)

"""Plates as they are spoken: each character by its word in a spelling alphabet."""

from __future__ import annotations

from typing import Literal, TypeAlias

Language: TypeAlias = Literal["en", "de", "fr"]
_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
# English: ICAO. German: as in use before DIN 5009:2022, which has towns.
_WORDS: dict[Language, str] = {
    "en": """Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November Oscar Papa Quebec
        Romeo Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu
        zero one two three four five six seven eight nine""",
    "de": """Anton Berta Cäsar Dora Emil Friedrich Gustav Heinrich Ida Julius Kaufmann Ludwig Martha Nordpol Otto Paula
        Quelle Richard Samuel Theodor Ulrich Viktor Wilhelm Xanthippe Ypsilon Zacharias
        null eins zwei drei vier fünf sechs sieben acht neun""",
    "fr": """Anatole Berthe Célestin Désiré Eugène François Gaston Henri Irma Joseph Kléber Louis Marcel Nicolas Oscar
        Pierre Quintal Raoul Suzanne Thérèse Ursule Victor William Xavier Yvonne Zoé
        zéro un deux trois quatre cinq six sept huit neuf""",
}


def spelled(plate: str, language: Language) -> str:
    """`B07` becomes `Bravo, zero, seven`; what has no word is left out."""
    words = dict(zip(_CHARS, _WORDS[language].split(), strict=True))
    return ", ".join(words[char] for char in plate.upper() if char in words)


def spoken(plate: str, list_name: str, language: Language) -> str:
    """What is said of a hit: the list, then the plate."""
    return ". ".join(filter(None, [list_name, spelled(plate, language)]))

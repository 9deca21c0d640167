"""The drives: everyday trouble, and what a driver should be told of it."""

from __future__ import annotations

from helpers_scenes import Mover, Scenario, Shot

HOUR = 3600.0


def parked(*plates: str, every_s: float = 0.5) -> tuple[Mover, ...]:
    """A row at the right of the road, which the car goes along."""
    return tuple(
        Mover(text, f"{k * every_s} 800,372 34 > {k * every_s + 1.6} 1000,475 76 > {k * every_s + 1.9} 1370,665 155")
        for k, text in enumerate(plates)
    )


def oncoming(*plates: str, every_s: float = 0.7) -> tuple[Mover, ...]:
    """One after the other on the left, fast, seen from the front."""
    return tuple(
        Mover(text, f"{k * every_s} 560,350 28 > {k * every_s + 1.0} 320,470 84 > {k * every_s + 1.3} -90,675 180")
        for k, text in enumerate(plates)
    )


def ahead(plate: str, seconds: float = 1.4, x: float = 640) -> Mover:
    """A car in front that keeps its distance."""
    return Mover(plate, f"0 {x},430 84 > {seconds} {x + 12},436 90")


ROW = ("B 123 ABC", "CJ 45 XYZ", "TM 08 KLM", "MH 77 PRT")
ROW_TEXTS = ("B123ABC", "CJ45XYZ", "TM08KLM", "MH77PRT")

SCENARIOS = (
    Scenario("a parked row passed twice", (Shot(0, parked(*ROW)), Shot(60, parked(*ROW))), ROW_TEXTS),
    Scenario("a U-turn", (
        Shot(0, (*parked("DX 57 MSE", "KL 84 TUR"), ahead("HN 26 WYZ", 2.2))),
        Shot(4, (Mover("HN 26 WYZ", "0 640,436 88 > 0.9 -120,436 88"),), pan=800),
        Shot(6, oncoming("KL 84 TUR", "DX 57 MSE"))), ("DX57MSE", "KL84TUR", "HN26WYZ")),
    Scenario("the same plate an hour later",
             (Shot(0, (ahead("PF 93 BKA"),)), Shot(HOUR, (ahead("PF 93 BKA"),))), ("PF93BKA", "PF93BKA")),
    Scenario("look-alike plates side by side", (Shot(0, (
        ahead("GT 48 CJL", 1.6, 430), ahead("GT 43 CJL", 1.6, 850))),), ("GT48CJL", "GT43CJL")),
    Scenario("look-alike plates one after the other", (
        Shot(0, (ahead("LS 62 GHK"),)), Shot(8, (ahead("LS 67 GHK"),))), ("LS62GHK", "LS67GHK")),
    Scenario("look-alikes that are easily misread, side by side", (Shot(0, (
        ahead("AB 18 NPV", 1.6, 430), ahead("AB 1B NPV", 1.6, 850))),), ("AB18NPV", "AB1BNPV")),
    Scenario("gone and back within the cool-down", (
        Shot(0, oncoming("ES 26 WHD")), Shot(240, (ahead("ES 26 WHD"),)), Shot(500, (ahead("ES 26 WHD"),))),
        ("ES26WHD",)),
    Scenario("a motorcycle between lanes", (Shot(0, (
        Mover("BV 19 DEF", "0 420,425 82 > 3 410,430 85"), Mover("AB 31 NPV", "0 900,425 82 > 3 910,430 85"),
        Mover("MK 73/PLR", "0 660,660 80 > 0.8 640,550 60 > 1.6 440,455 46 > 2.6 900,430 38 > 3.2 660,390 30",
              "motorcycle"))),), ("BV19DEF", "AB31NPV", "MK73PLR")),
    Scenario("hidden for a second", (Shot(0, (
        Mover("EV 92 RST", "0 760,400 66 > 3.4 740,402 68"),
        Mover("", "0.8 -700,560 160 > 1.2 400,520 140 > 2.0 900,520 140 > 2.4 2000,560 160", "lorry"))),),
        ("EV92RST",)),
    Scenario("oncoming traffic", (Shot(0, (
        *oncoming("NW 35 KTE", "ZR 68 AMP", "OV 41 SBL"), ahead("CT 90 VDN", 2.7))),),
        ("NW35KTE", "ZR68AMP", "OV41SBL", "CT90VDN")),
    Scenario("look-alikes that are easily misread, one after the other", (
        Shot(0, (ahead("AB 18 NPV"),)), Shot(8, (ahead("AB 1B NPV"),))), ("AB18NPV", "AB1BNPV")),
)  # fmt: skip

LOOKALIKES = SCENARIOS[-1]

"""How well plates are found, read and told, against labelled pictures and rides.

Scoring is pure: whoever calls hands over what was found in a picture or confirmed in a ride.
"""

from edge_alpr.evaluate.figures import GROUPS, Figures, Outcome, figures
from edge_alpr.evaluate.labels import LabelledImage, LabelledPlate, Legibility, load_dataset
from edge_alpr.evaluate.report import render_report, render_rides, report_json, rides_json
from edge_alpr.evaluate.rides import Confirmed, Passage, RideReport, Told, WrongText, passages, score_events
from edge_alpr.evaluate.stills import (
    Failure,
    PlateFound,
    Report,
    Stray,
    Unreadable,
    evaluate_stills,
    score_image,
)

__all__ = [
    "GROUPS",
    "Confirmed",
    "Failure",
    "Figures",
    "LabelledImage",
    "LabelledPlate",
    "Legibility",
    "Outcome",
    "Passage",
    "PlateFound",
    "Report",
    "RideReport",
    "Stray",
    "Told",
    "Unreadable",
    "WrongText",
    "evaluate_stills",
    "figures",
    "load_dataset",
    "passages",
    "render_report",
    "render_rides",
    "report_json",
    "rides_json",
    "score_events",
    "score_image",
]

"""Which targets a car takes, of what two repositories tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_alpr.errors import UpdateRefusedError
from edge_alpr.ota.director import Entry, choose
from edge_alpr.ota.types import Car, share_of

CAR = Car("car-1", "orin-nx", {"image": "2.0", "models": "1.4", "list/stolen": "7"})


def told(unit: str, version: str, **custom: Any) -> Entry:
    """The director's word; `path=` sets the address."""
    path = custom.pop("path", f"{unit}/{version}.tar")
    known = {"unit": unit, "version": version, "boards": [], "needs": "", "rollout": "r", "share": "1"}
    return Entry(path, 10, "a" * 64, {**known, **custom})


def known(*entries: Entry, **custom: Any) -> list[Entry]:
    """The image repository's word of the same files."""
    keep = ("unit", "version", "boards", "needs")
    return [replace(one, custom={**{key: one.custom[key] for key in keep}, **custom}) for one in entries]


def taken(*entries: Entry, car: Car = CAR, **custom: Any) -> list[tuple[str, str]]:
    return [(target.unit, target.version) for target in choose(entries, known(*entries, **custom), car).targets]


def test_the_newest_of_each_unit_is_taken():
    entries = [told("models", version) for version in ("1.9", "1.10", "1.5")] + [told("image", "2.1")]

    assert taken(*entries) == [("image", "2.1"), ("models", "1.10")]


def test_what_runs_already_is_wanted_still():
    assert taken(told("models", "1.4")) == [("models", "1.4")]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (told("models", "1.3"), "1.3 is older than 1.4, which runs"),
        (told("models", "1.4rc1"), "1.4rc1 is older than 1.4, which runs"),
        (told("models", "1.5", boards=["thor", "orin-nano"]), "it is for thor, orin-nano, this is orin-nx"),
        (told("models", "1.5", needs="2.0.1"), "it needs image 2.0.1, this car runs 2.0"),
        (told("models", "1.5", share="0"), "roll-out r has not come to this car yet"),
        (told("models", "1.5", share=0), "roll-out r has not come to this car yet"),
        (told("radio", "1.5"), "this version knows no unit 'radio'"),
        (told("list/a/b", "1.5"), "this version knows no unit 'list/a/b'"),
    ],
)
def test_what_is_not_for_this_car_is_passed_over_and_told(entry: Entry, reason: str):
    choice = choose([entry, told("list/stolen", "8")], known(entry, told("list/stolen", "8")), CAR)

    assert [target.unit for target in choice.targets] == ["list/stolen"]
    assert choice.passed_over == (f"{entry.path} is passed over: {reason}",)


def test_the_director_may_send_a_car_back():
    assert taken(told("models", "1.3", back=True)) == [("models", "1.3")]


def test_the_newest_that_fits_is_taken_where_a_newer_one_does_not():
    assert taken(told("models", "1.6", needs="9"), told("models", "1.5", needs="2.0")) == [("models", "1.5")]


@pytest.mark.parametrize("running", [{}, {"models": "a developer's build"}])
def test_a_car_that_runs_no_known_version_takes_any(running: dict[str, str]):
    assert taken(told("models", "0.1"), car=Car("car-1", "pc", running)) == [("models", "0.1")]


def test_what_needs_an_image_is_not_for_a_car_whose_image_is_unknown():
    assert taken(told("models", "1.5", needs="1.0"), car=Car("car-1", "pc", {})) == []


def test_the_stricter_of_both_repositories_counts():
    target = choose(
        [told("models", "1.5", boards=["orin-nx", "thor"])],
        known(told("models", "1.5"), boards=["orin-nx", "orin-nano"], needs="1.9"),
        CAR,
    ).targets[0]

    assert (target.boards, target.needs) == (("orin-nx",), "1.9")


def test_a_share_of_the_cars_takes_it_and_a_wider_one_adds_to_them():
    cars = [Car(f"car-{number}", "pc", {}) for number in range(2000)]
    few, more = (
        {car.device_id for car in cars if taken(told("models", "1.5", share=share), car=car)}
        for share in ("0.1", "0.3")
    )

    assert few < more
    assert len(few) == pytest.approx(200, abs=40)
    assert all(share_of("r", name) < 0.1 for name in few)


def test_keys_of_later_years_are_no_error():
    assert taken(told("models", "1.5", weather="dry")) == [("models", "1.5")]


@pytest.mark.parametrize(
    "custom",
    [None, [], {}, "models", {"unit": "models"}, {**told("models", "1").custom, "boards": None},
     {**told("models", "1").custom, "share": "-0.1"}, {**told("models", "1").custom, "version": ""},
     {**told("models", "1").custom, "needs": "new"}, {**told("models", "1").custom, "back": "yes"}],
)  # fmt: skip
def test_a_custom_that_is_malformed_is_refused(custom: object):
    with pytest.raises(UpdateRefusedError, match=r"director repository, target 'models/1.tar': its custom is malform"):
        choose([replace(told("models", "1"), custom=custom)], [], CAR)


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "../x", "a/../b", "a/.b", "a b", "a\n", "é", "a\\b"])
def test_a_path_that_is_no_plain_name_is_refused(path: str):
    entry = told("models", "1.5", path=path)
    with pytest.raises(UpdateRefusedError, match="is no name"):
        choose([entry], known(entry), CAR)


@pytest.mark.parametrize("change", [{"sha256": ""}, {"sha256": "A" * 64}, {"sha256": "a" * 63}, {"length": 0}])
def test_a_target_without_hash_or_length_is_refused(change: dict[str, Any]):
    entry = replace(told("models", "1.5"), **change)
    with pytest.raises(UpdateRefusedError, match="no sha256 or length is told"):
        choose([entry], known(entry), CAR)


@pytest.mark.parametrize(
    ("custom", "reason"),
    [
        ({"unit": "image"}, "the image repository knows it as image 1.5"),
        ({"version": "1.50"}, "the image repository knows it as models 1.50"),
        ({"boards": ["thor"]}, "the image repository has it for thor only"),
        ({"boards": 7}, "image repository, target 'models/1.5.tar': its custom is malformed"),
    ],
)
def test_what_the_repositories_tell_differently_is_refused(custom: dict[str, Any], reason: str):
    entry = told("models", "1.5", boards=["orin-nx"])
    with pytest.raises(UpdateRefusedError, match=reason):
        choose([entry], known(entry, **custom), CAR)


@pytest.mark.parametrize("change", [{"length": 11}, {"sha256": "b" * 64}])
def test_another_file_in_the_image_repository_is_refused(change: dict[str, Any]):
    entry = told("models", "1.5")
    with pytest.raises(UpdateRefusedError, match="another length or hash"):
        choose([entry], [replace(one, **change) for one in known(entry)], CAR)

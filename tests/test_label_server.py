"""What the label page's server lets in, and what a session leaves on disk: real requests to the real command."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from helpers_label import QUAD, TEXTS, drawn_plate, served
from helpers_sinks import one_line, remount, small_disk, start_child
from hypothesis import given
from hypothesis import strategies as st
from test_cli import assert_one_clear_line, edge_alpr
from test_hard_examples import png

from edge_alpr.app import open_models
from edge_alpr.config import Config
from edge_alpr.errors import LabelError
from edge_alpr.evaluate import load_dataset
from edge_alpr.evidence import canonical
from edge_alpr.label.marks import Mark, PlateMark, Said, check, is_convex, label_lines, split_by_text
from edge_alpr.label.pictures import FolderPictures
from edge_alpr.label.session import STATE, Session

pytest.importorskip("uvicorn", reason="the page takes the extra `display`")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return three_photos(tmp_path)


def three_photos(tmp_path: Path) -> Path:
    """Three drawn pictures whose labels are guesses already, so that no network is needed."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    names = ("a.png", "b.png", "sub/c.png")
    for name, text in zip(names, TEXTS, strict=True):
        (folder / name).write_bytes(png(drawn_plate(text)))
    plates = [[{"box": [60, 40, 220, 82], "text": text}] for text in TEXTS]
    known = [{"image": name, "plates": marks} for name, marks in zip(names, plates, strict=True)]
    (folder / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in known))
    (tmp_path / "secret.txt").write_text("secret")
    return folder


@dataclass
class Browser:
    """One connection's worth of a browser: says its host, its origin and its cookie unless told otherwise."""

    host: str
    cookie: str = ""
    token_path: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str | None) -> tuple[int, bytes]:
        usual = {"Host": self.host, "Cookie": self.cookie}
        if method == "POST":
            usual |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        usual |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", int(self.host.rpartition(":")[2]), timeout=20)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in usual.items():
            if value is not None:
                connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        content = answer.read()
        connection.close()
        return answer.status, content


@pytest.fixture
def browser(photos: Path, tmp_path: Path) -> Iterator[Browser]:
    with served("photos", "--out", "set", cwd=tmp_path) as (address, _):
        parts = urlsplit(address)
        opened = Browser(parts.netloc)
        opened.token_path = f"/?{parts.query}"
        yield opened


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that has the cookie; for tests that change nothing."""
    folder = tmp_path_factory.mktemp("inside")
    three_photos(folder)
    with served("photos", "--out", "set", cwd=folder) as (address, _):
        parts = urlsplit(address)
        opened = Browser(parts.netloc)
        opened.token_path = f"/?{parts.query}"
        enter(opened)
        yield opened


def enter(browser: Browser) -> None:
    status, _ = browser.ask("GET", browser.token_path)
    assert status == 303
    assert re.search("; HttpOnly.*; SameSite=strict", browser.headers["set-cookie"], re.IGNORECASE)
    browser.cookie = browser.headers["set-cookie"].partition(";")[0]


def test_the_address_works_once(browser: Browser):
    assert browser.ask("GET", "/")[0] == 403
    assert browser.ask("GET", "/items")[0] == 403
    assert browser.ask("GET", "/?token=guess")[0] == 403
    enter(browser)
    assert browser.ask("GET", "/")[0] == 200
    assert browser.ask("GET", browser.token_path)[0] == 403
    assert browser.ask("GET", "/items", Cookie="")[0] == 403
    assert browser.ask("GET", "/items", Cookie=browser.cookie[:-1] + "x")[0] == 403


def test_only_the_page_itself_may_change_anything(browser: Browser):
    enter(browser)
    said = json.dumps({"plates": [], "boxed": True}).encode()
    assert browser.ask("POST", "/items/0", said, Origin="http://evil.example")[0] == 403
    assert browser.ask("POST", "/items/0", said, Origin=None)[0] == 403
    assert browser.ask("POST", "/items/0", said, Origin="null")[0] == 403
    assert browser.ask("POST", "/items/0", said, Content_Type="text/plain")[0] == 403
    assert browser.ask("GET", "/items", Host="rebound.example:80")[0] == 403
    assert browser.ask("GET", "/undo")[0] == 405
    assert json.loads(browser.ask("GET", "/items")[1])["items"][0]["boxed"] is False
    assert browser.ask("POST", "/items/0", said)[0] == 200
    assert json.loads(browser.ask("GET", "/items")[1])["items"][0]["done"] is True


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/%2e%2e/secret.txt", "/label.js/../../../secret.txt", "/..%2fsecret.txt", "//secret.txt",
        "/items/../../secret.txt", "/items/0/picture/../../../../secret.txt", "/label.py", "/page/label.js",
        "/items/-1", "/items/99", "/items/0/plates/9", "/items/1e3/picture", "/secret.txt%00.js",
    ],
)  # fmt: skip
def test_no_path_leads_out(inside: Browser, path: str):
    status, body = inside.ask("GET", path)
    assert status in (404, 422)
    assert b"secret" not in body.replace(b"no such", b"")


def test_the_page_may_load_nothing_from_elsewhere(inside: Browser):
    browser = inside
    for path in ("/", "/label.js", "/label.css"):
        _, body = browser.ask("GET", path)
        assert not re.findall(rb"https?://(?!www\.w3\.org/2000/svg)", body)
        policy = browser.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in policy
        assert browser.headers["x-content-type-options"] == "nosniff"
        assert browser.headers["cache-control"] == "no-store"
    assert b"<script>" not in browser.ask("GET", "/")[1]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'{"plates": 3}', b'{"plates": [], "surprise": 1}',
        b'{"plates": [{"quad": [[1,1],[2,1],[2,2]], "text": ""}]}',
        b'{"plates": [{"quad": [[60,40],[220,46],[220,82],[60,76]], "text": "<b>"}]}',
        b'{"plates": [{"quad": [[60,40],[220,46],[220,82],[60,76]], "text": "", "verdict": "ok"}], "boxed": true}',
        b'{"plates": [{"quad": [[220,46],[60,40],[220,82],[60,76]]}]}',
        b'{"plates": [{"quad": [[1e999,40],[220,46],[220,82],[60,76]]}]}',
        b'{"plates": [{"quad": [[600,400],[700,400],[700,450],[600,450]]}]}',
        b" " * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_mark_is_refused_in_one_line(inside: Browser, body: bytes):
    browser = inside
    status, answer = browser.ask("POST", "/items/0", body)
    assert status == 422
    assert "\n" not in json.loads(answer)["error"]
    assert json.loads(browser.ask("GET", "/items")[1])["undo"] is False


# the command

def test_wrong_use_gives_one_clear_line(tmp_path: Path, photos: Path):
    own = f'[learning]\nfolder = "{tmp_path / "examples"}"\nkey_file = "{tmp_path / "key"}"\n'
    (tmp_path / "car.toml").write_text(own)
    config = ("--config", str(tmp_path / "car.toml"))
    (tmp_path / "empty").mkdir()

    def label(*arguments: str):
        return edge_alpr("label", *arguments, cwd=tmp_path, PYTHONPATH=str(Path(__file__).resolve().parents[1]))

    assert_one_clear_line(label(*config), "keep_hard_examples")
    assert_one_clear_line(label("empty"), "no pictures")
    assert_one_clear_line(label("photos", "--out", "photos"), "--out")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "labels.jsonl").write_text("{}\n")
    assert_one_clear_line(label("photos", "--out", "theirs"), "not made here")
    assert_one_clear_line(label("--wrong", "some-uuid", *config), "keep_hard_examples")
    with served("photos", "--out", "set", cwd=tmp_path) as (address, _):
        port = str(urlsplit(address).port)
        assert_one_clear_line(label("photos", "--out", "set2", "--port", port), "--port")


# sessions

def no_models():
    raise AssertionError("the pictures are labelled: no network is needed")


def session(photos: Path, out: Path) -> Session:
    return Session(FolderPictures(photos, no_models, out), out)


def said(text: str, **changes) -> Said:
    plate = PlateMark(quad=QUAD, text=text, verdict="ok" if text else "unreadable")
    return Said(**{"plates": (plate,), "boxed": True, "complete": True, **changes})


def test_an_out_folder_among_the_pictures_is_not_labelled_again(photos: Path):
    session(photos, photos / "out").say(0, said("B123XYZ"))
    assert len(session(photos, photos / "out").pictures.names) == 3


def test_a_set_made_here_loads_and_scores(photos: Path, tmp_path: Path):
    labelling = session(photos, tmp_path / "set")
    for index, text in enumerate(TEXTS):
        labelling.say(index, said(text))
    images = load_dataset(tmp_path / "set")
    assert [image.name for image in images] == ["pictures/a.png", "pictures/b.png", "pictures/sub/c.png"]
    assert [image.plates[0].text for image in images] == list(TEXTS)
    assert [image.path.read_bytes() for image in images] == [png(drawn_plate(text)) for text in TEXTS]
    done = edge_alpr("eval", tmp_path / "set", "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "figures.json").read_text())


def test_training_takes_the_set(photos: Path, tmp_path: Path):
    data = pytest.importorskip("training.reader.data", reason="training takes torch", exc_type=ImportError)
    labelling = session(photos, tmp_path / "set")
    for index, text in enumerate(TEXTS):
        labelling.say(index, said(text))
    own = tmp_path / "set"
    found = [plate for split in ("train", "dev") for plate in data.load_real(tmp_path, split, own=[own])[str(own)]]
    assert sorted(plate.text for plate in found) == sorted(TEXTS)
    sides = [np.linalg.norm(plate.quads[0] - np.roll(plate.quads[0], 1, 0), axis=1) for plate in found]
    marked = np.linalg.norm(np.array(QUAD) - np.roll(QUAD, 1, 0), axis=1)
    assert np.abs(np.array(sides) - marked).max() < 0.1, "the labelled corners, not their box"
    assert data.draw_real({str(own): found}, np.random.default_rng(0)) in found
    pictures = pytest.importorskip("training.detector.pictures", reason="training takes torch", exc_type=ImportError)
    shown = [picture for split in ("train", "dev") for picture in pictures.load_set(tmp_path, "set", split)]
    assert all(np.abs(picture.labels[0].quad - QUAD).max() < 0.6 for picture in shown)


def test_verdicts_in_the_labels(photos: Path, tmp_path: Path):
    labelling = session(photos, tmp_path / "set")
    ignored = PlateMark(quad=QUAD, text="B123", verdict="ignore")
    hard = PlateMark(quad=QUAD, text="B124XYZ", verdict="hard", lines=2)
    labelling.say(0, Said(plates=(ignored, hard), boxed=True, complete=False))
    labelling.say(1, Said(plates=(), boxed=True))
    (first, second) = load_dataset(tmp_path / "set")
    assert [(p.text, p.ignore, p.legibility, p.lines) for p in first.plates] == [
        ("", True, "unreadable", 1), ("B124XYZ", False, "hard", 2),
    ]  # fmt: skip
    assert (first.complete, second.complete, second.plates) == (False, True, ())


def test_undo_goes_back_step_by_step_over_restarts(photos: Path, tmp_path: Path):
    out = tmp_path / "set"
    labelling = session(photos, out)
    labelling.say(0, said("B123XYZ"))
    labelling.say(0, said("B128XYZ"))
    labelling.say(1, said("KA7788"))
    again = session(photos, out)
    assert again.undo() == 1
    assert not (out / "pictures" / "b.png").exists()
    assert again.undo() == 0
    assert load_dataset(out)[0].plates[0].text == "B123XYZ"
    assert again.undo() == 0
    assert again.undo() is None
    assert (out / "labels.jsonl").read_text() == ""
    assert not (out / "pictures" / "a.png").exists()


CRASHING = """
import os, random, signal, sys, time
from pathlib import Path
from test_label_server import check_session, said, session

photos, out = Path(sys.argv[1]), Path(sys.argv[2])
chance = random.Random(3)
for number in range(50):
    child = os.fork()
    if not child:
        labelling = session(photos, out)
        while True:
            labelling.say(chance.randrange(3), said(chance.choice(["B123XYZ", "KA7788", "M404ZZ", ""])))
            if chance.random() < 0.4:
                labelling.undo()
    time.sleep(chance.uniform(0.02, 0.25))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    chance.random()
    print(check_session(photos, out), flush=True)
"""


def check_session(photos: Path, out: Path) -> int:
    """Open what a crash left: labels and pictures belong together. The number of labelled pictures."""
    session(photos, out)
    text = (out / "labels.jsonl").read_text() if (out / "labels.jsonl").exists() else ""
    images = load_dataset(out) if text else []
    there = {path.relative_to(out).as_posix() for path in out.glob("pictures/**/*.png")}
    assert there == {image.name for image in images}
    assert all(image.path.read_bytes() == (photos / image.name[len("pictures/") :]).read_bytes() for image in images)
    return len(images)


def test_killed_at_any_moment_the_set_is_whole_when_it_goes_on(photos: Path, tmp_path: Path):
    child = start_child(CRASHING, photos, tmp_path / "set")
    out, err = child.communicate(timeout=120)
    counts = out.split()
    assert len(counts) == 50, err
    assert set(counts) - {"0"}


def test_a_full_disk_is_told_and_what_was_said_before_stays(photos: Path, tmp_path: Path):
    with small_disk(tmp_path / "disk", 1024) as disk:
        labelling = session(photos, disk / "set")
        labelling.say(0, said("B123XYZ"))
        remount(disk, "ro")
        with pytest.raises(LabelError) as caught:
            labelling.say(1, said("KA7788"))
        assert "make room" in one_line(caught.value)
        remount(disk, "rw")
        labelling.say(2, said("M404ZZ"))
        assert check_session(photos, disk / "set") == 2


@pytest.mark.parametrize(
    "content",
    [b"{", b'{"marks": {"../../x": null}}',
     b'{"marks": {"/etc/x": {"image": "x", "width": 1, "height": 1, "said": {"plates": []}}}}',
     b'{"marks": {}, "undo": [["pictures/../../x", null]]}'],
)  # fmt: skip
def test_a_session_that_is_damaged_or_points_outside_is_refused(content: bytes, photos: Path, tmp_path: Path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / STATE).write_bytes(content)
    with pytest.raises(LabelError) as caught:
        session(photos, tmp_path / "set")
    one_line(caught.value)


def test_pictures_without_labels_are_read_by_the_models(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "frame.png").write_bytes(png(drawn_frame()))
    pictures = FolderPictures(tmp_path / "photos", lambda: open_models(Config()), tmp_path / "set")
    opened = pictures.open(0)
    assert "B123XYZ" in [plate.text for plate in opened.plates]
    assert all(plate.text in ("", texts[0]) for plate, texts in zip(opened.plates, opened.candidates, strict=True))


def drawn_frame():
    from edge_alpr.doctor.networks import golden_frame  # noqa: PLC0415

    return golden_frame()


# marks

texts = st.lists(st.text("B0O1I2", max_size=3).filter(bool), max_size=3)


@given(st.lists(texts, max_size=20))
def test_no_text_is_in_both_splits(sets: list[list[str]]):
    pictures = [(f"p{number}", texts) for number, texts in enumerate(sets)]
    splits = split_by_text(pictures)
    where: dict[str, set[str]] = {}
    for name, said_texts in pictures:
        for text in said_texts:
            where.setdefault(canonical(text), set()).add(splits[name])
    assert all(len(found) == 1 for found in where.values())
    assert set(splits) == {name for name, _ in pictures}


def test_about_a_tenth_is_kept_for_dev():
    splits = split_by_text([(f"p{n}", [f"B{n:04d}XY"]) for n in range(2000)])
    assert 140 < list(splits.values()).count("dev") < 260


@given(st.tuples(*[st.tuples(st.floats(-50, 350), st.floats(-50, 200))] * 4))
def test_every_mark_that_is_taken_makes_a_label_that_loads(quad):
    plate = PlateMark(quad=quad, text="B123XYZ", verdict="ok")
    try:
        kept = check(Said(plates=(plate,), boxed=True), 280, 120)
    except LabelError:
        return
    assert is_convex(quad)
    (line,) = label_lines([Mark(image="pictures/x.png", width=280, height=120, said=kept)])
    left, top, right, bottom = line["plates"][0]["box"]
    assert 0 <= left < right <= 280
    assert 0 <= top < bottom <= 120


def test_saving_is_quick_enough_for_a_person(photos: Path, tmp_path: Path):
    labelling = session(photos, tmp_path / "set")
    begun = time.perf_counter()
    for number in range(20):
        labelling.say(number % 3, said(TEXTS[number % 3], complete=number % 2 == 0))
    assert time.perf_counter() - begun < 10

"""The page in a real browser: a person labels three pictures, corners first, then texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers_label import QUAD, TEXTS, drawn_plate, served
from test_hard_examples import example, png

from edge_alpr.evaluate import load_dataset
from edge_alpr.ops.examples import Examples
from edge_alpr.ops.hard import Quota
from edge_alpr.sinks.sealing import open_or_make_key

playwright = pytest.importorskip("playwright.sync_api", reason="the page's tests take playwright")
pytest.importorskip("uvicorn", reason="the page takes the extra `display`")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the page's tests take Chromium (Debian: chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser) -> Iterator:
    """A page that must not say anything on its console, nor ask any other host."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(15_000)
    said, asked = [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    yield opened
    context.close()
    assert [text for text in said if "CONNECTION_REFUSED" not in text] == []
    assert all(url.startswith("http://127.0.0.1:") for url in asked)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Three examples, hardest first in the order of TEXTS; the first one's guess is wrong and its corners are off."""
    key = open_or_make_key(tmp_path / "key")
    examples = Examples(tmp_path / "examples", Quota(100, 1 << 30, 30))
    for number, text in enumerate(TEXTS):
        plate = "B128XYZ" if number == 0 else text
        shift = 9.0 if number == 0 else 0.0
        examples.add(
            example(
                number,
                hardness=5000 - number,
                plate=plate,
                candidates=tuple(type(c)(t, 0.4) for c, t in zip(example().candidates, (plate, text), strict=True)),
                quad=((QUAD[0][0] - shift, QUAD[0][1] + shift), *QUAD[1:]),
                picture=png(drawn_plate(text)),
            ),
            key,
        )
    (tmp_path / "car.toml").write_text(
        f'[learning]\nkeep_hard_examples = true\nkey_file = "{tmp_path / "key"}"\nfolder = "{tmp_path / "examples"}"\n'
    )
    return tmp_path


def drag(page, corner: str, to: tuple[float, float]) -> None:
    """Drag a corner's grip to a point of the picture, with the mouse."""
    grip = page.get_by_role("button", name=f"{corner} corner").bounding_box()
    at = page.evaluate(
        """([x, y]) => { const p = new DOMPoint(x, y).matrixTransform(document.getElementById("view").getScreenCTM());
                         return [p.x, p.y]; }""",
        list(to),
    )
    begin = page.evaluate(
        """(name) => { const r = document.querySelector(`[aria-label="${name} corner"] .ring`).getBoundingClientRect();
                       return [r.x + r.width / 2, r.y + r.height / 2]; }""",
        corner,
    )
    assert grip["width"] >= 44, "too small for a finger"
    page.mouse.move(*begin)
    page.mouse.down()
    page.mouse.move(*[(a + b) / 2 for a, b in zip(begin, at, strict=True)])
    page.mouse.move(*at)
    page.mouse.up()


def labels(out: Path) -> dict[str, dict]:
    lines = (out / "labels.jsonl").read_text().splitlines() if (out / "labels.jsonl").exists() else []
    return {line["image"]: line for line in map(json.loads, lines)}


def test_a_person_labels_three_pictures(page, kept: Path):
    out = kept / "set"
    with served("--config", kept / "car.toml", "--out", out, cwd=kept) as (address, _):
        page.goto(address)
        assert "token" not in page.url
        playwright.expect(page.locator("#position")).to_have_text("Picture 1 of 3")
        drag(page, "top left", QUAD[0])
        page.screenshot(path=kept / "corners.png")
        page.get_by_role("button", name="Corners are right").click()
        playwright.expect(page.locator("#position")).to_have_text("Picture 2 of 3")
        assert labels(out) == {}
        assert not list(out.glob("pictures/*")), "decrypted before anybody accepted it"
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#position")).to_have_text("Picture 3 of 3")
        page.keyboard.press("Enter")

        playwright.expect(page.locator("#position")).to_have_text("Picture 1 of 3")
        playwright.expect(page.locator("#text")).to_have_value("B128XYZ")
        page.get_by_role("button", name="B123XYZ").click()  # the second guess is right
        page.screenshot(path=kept / "texts.png")
        page.get_by_role("button", name="Text is right").click()
        playwright.expect(page.locator("#text")).to_have_value("KA7788")
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#position")).to_have_text("Picture 3 of 3")
        page.keyboard.press("Alt+u")
        playwright.expect(page.locator("#done")).to_contain_text("3 of 3")
        page.screenshot(path=kept / "done.png")

    first, second, third = (labels(out)[f"pictures/{example(n).uuid}.png"] for n in range(3))
    (plate,) = first["plates"]
    assert np.abs(np.array(plate["quad"]) - QUAD).max() < 0.6
    assert (plate["text"], plate["legibility"], plate["lines"]) == ("B123XYZ", "ok", 1)
    assert plate["box"] == pytest.approx([60, 40, 220, 82], abs=0.6)
    assert second["plates"][0]["text"] == "KA7788"
    assert (third["plates"][0]["text"], third["plates"][0]["legibility"]) == ("", "unreadable")
    assert all(line["width"] == 280 and line["height"] == 120 and line["complete"] for line in (first, second, third))
    loaded = load_dataset(out)
    assert [plate.text for image in loaded for plate in image.plates] == ["B123XYZ", "KA7788", ""]
    assert all(image.path.read_bytes() == png(drawn_plate(t)) for image, t in zip(loaded, TEXTS, strict=True))


def test_it_goes_on_where_it_was_left_and_takes_back(page, kept: Path):
    out = kept / "set"
    arguments = ("--config", kept / "car.toml", "--out", out)
    with served(*arguments, cwd=kept) as (address, _):
        page.goto(address)
        playwright.expect(page.locator("#position")).to_have_text("Picture 1 of 3")
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#position")).to_have_text("Picture 2 of 3")
    with served(*arguments, cwd=kept) as (address, child):
        page.goto(address)
        playwright.expect(page.locator("#position")).to_have_text("Picture 2 of 3")
        page.get_by_role("button", name="Texts").click()
        playwright.expect(page.locator("#text")).to_have_value("B128XYZ")
        page.locator("#text").fill("b 123-xyz")
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#position")).to_have_text("Picture 2 of 3")  # its corners come next
        assert [line["plates"][0]["text"] for line in labels(out).values()] == ["B123XYZ"]
        page.get_by_role("button", name="Undo").click()
        playwright.expect(page.locator("#message")).to_have_text("Taken back.")
        assert labels(out) == {}
        assert not list(out.glob("pictures/*"))
        child.kill()
        child.wait()
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#message")).to_contain_text("start it again")
        child.returncode = 0


def test_the_keyboard_is_enough_and_a_plate_can_be_added_or_refused(page, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.png").write_bytes(png(drawn_plate(TEXTS[0])))
    (tmp_path / "photos" / "labels.jsonl").write_text(
        json.dumps({"image": "one.png", "plates": [{"box": [60, 40, 220, 82], "text": "B123XYZ"}]}) + "\n"
    )
    out = tmp_path / "set"
    with served("photos", "--out", out, cwd=tmp_path) as (address, _):
        page.goto(address)
        playwright.expect(page.locator("#position")).to_have_text("Picture 1 of 1")
        page.keyboard.press("2")
        for _ in range(3):
            page.keyboard.press("Shift+ArrowDown")
        page.keyboard.press("a")
        playwright.expect(page.locator("#plates button")).to_have_count(2)
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#position")).to_have_text("Picture 1 of 1, plate 1 of 2")
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#position")).to_have_text("Picture 1 of 1, plate 2 of 2")
        page.locator("#text").fill("")
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#message")).to_have_text("Type the text, or say Unreadable.")
        page.keyboard.press("Alt+n")
        playwright.expect(page.locator("#done")).to_contain_text("1 of 1")
    (line,) = labels(out).values()
    (plate,) = line["plates"]
    assert plate["text"] == "B123XYZ"
    assert plate["quad"][1][1] > 43  # the corner went down
    assert load_dataset(out)[0].path.name == "one.png"


@pytest.mark.parametrize("size", [(1280, 800), (820, 1180), (1024, 768)])
def test_all_of_it_fits_the_screen(page, kept: Path, size: tuple[int, int]):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    with served("--config", kept / "car.toml", "--out", kept / "set", cwd=kept) as (address, _):
        page.goto(address)
        for step in ("boxes", "texts"):
            if step == "texts":
                page.get_by_role("button", name="Corners are right").click()
                playwright.expect(page.locator("#position")).to_have_text("Picture 2 of 3")
                page.get_by_role("button", name="Texts").click()
                playwright.expect(page.locator("#texts")).to_be_visible()
                page.wait_for_load_state("networkidle")
            for button in page.locator("button:visible").all():
                box = button.bounding_box()
                assert box["height"] >= 44
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= size[0]
                assert box["y"] + box["height"] <= size[1], button.text_content()
            page.screenshot(path=kept / f"{step}-{size[0]}.png")

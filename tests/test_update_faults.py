"""Faults that are not the update's: a mistyped setting, RAUC that does not answer, a cable pulled off the camera."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest
from ota_world import DATA, Board, image_blob, model_blob
from typer.testing import CliRunner

from edge_alpr.cli import app
from edge_alpr.config import UpdateConfig
from edge_alpr.errors import ConfigError, SlotError, UpdateUnreachableError, UpdateWaitsError
from edge_alpr.ota.ledger import ON_TRIAL
from edge_alpr.ota.state import UNSURE
from edge_alpr.ota.types import IMAGE, MODELS, Progress, Target, Verdict
from edge_alpr.update import run, wiring
from edge_alpr.update.policy import Vehicle
from edge_alpr.update.service import LOOK_S, Hands, Updater

UNITS = Path(__file__).resolve().parents[1] / "deploy" / "systemd"
PARKED = Vehicle(speed_kmh=0.0, ignition=True, still_s=1000.0)


@pytest.fixture
def board() -> Board:
    made = Board()
    made.live()
    return made


@pytest.fixture
def command(tmp_path: Path, board: Board, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`edge-alpr update prove …` on the board, with settings that nobody can read."""
    config = tmp_path / "car.toml"
    config.write_text("[update]\nurll = 1\n", encoding="utf-8")
    seen: list[str] = []

    def made(settings: object, file: object, tick: object = None) -> object:
        seen.append(settings.store.path)  # type: ignore[attr-defined]
        return board.agent()

    @contextmanager
    def held(settings: object, file: object, tick: object = None, wait_s: float = 0.0):  # type: ignore[no-untyped-def]
        yield made(settings, file)

    for module in (run, wiring):
        monkeypatch.setattr(module, "make_agent", made)
    monkeypatch.setattr(run, "held_agent", held)
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/lib:{tmp_path}/keys")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))

    def called(*words: str) -> int:
        done = CliRunner().invoke(app, ["update", "prove", *words, "--config", str(config)])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert set(seen) == {f"{tmp_path}/lib"}
        return done.exit_code

    return called


def marked(board: Board) -> bool:
    return board.files.kind(DATA / "update" / ON_TRIAL) == "file"


def test_a_mistyped_setting_leaves_a_proven_image_where_it_is(command: Callable[..., int], board: Board):
    assert [command(*words) for words in (("--early",), (), ("--failed",))] == [0, 0, 0]
    assert board.slots.booted == board.slots.primary == "A" and board.slots.sides["A"].good


def test_without_a_manager_who_says_where_things_are_it_is_told(
    command: Callable[..., int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("STATE_DIRECTORY")
    with pytest.raises(ConfigError, match="urll"):
        command("--early")


def test_an_image_on_trial_goes_back_with_an_exit_code_of_its_own(
    command: Callable[..., int], board: Board, tmp_path: Path
):
    board.natures[IMAGE, "2.0"] = "bad"
    written(board)
    board.start()
    assert marked(board)
    assert command("--early") == 3, "on trial"
    assert command() == 3
    assert (tmp_path / "reboot").read_text() == "back: it reads no plates\n"
    board.start()
    assert (command(), board.slots.booted, marked(board)) == (0, "A", False)


def written(board: Board) -> None:
    """An image waits for its boot."""
    board.servers.publish(IMAGE, "2.0", image_blob("2.0"))
    agent = board.agent()
    agent.check()
    agent.download()
    assert not marked(board), "nothing is on trial while it is fetched"
    agent.install()


def test_where_rauc_does_not_answer_a_proven_image_stays(
    command: Callable[..., int], board: Board, monkeypatch: pytest.MonkeyPatch
):
    board.servers.publish(IMAGE, "2.0", image_blob("2.0"))
    board.agent().check()

    def silent() -> None:
        raise SlotError("RAUC does not answer")

    monkeypatch.setattr(board.slots, "look", silent)
    assert command("--failed") == 0


def test_the_unit_that_starts_the_board_anew_waits_for_that_mark():
    text = (UNITS / "edge-alpr-back.service").read_text(encoding="utf-8")
    assert f"ConditionPathExists=/var/lib/edge-alpr/update/{ON_TRIAL}\n" in text
    assert f'path = "{Path("/var/lib/edge-alpr")}"' in (UNITS / "edge-alpr.toml").read_text(encoding="utf-8")


def test_a_side_from_the_bench_that_was_never_proven_is_a_way_back():
    board = Board()
    board.slots.sides["A"].version, board.slots.sides["B"].version, board.slots.sides["B"].good = "", "", False
    board.natures |= {(IMAGE, ""): "bad", (IMAGE, "2.0"): "bad"}
    board.start()
    board.agent().after_boot()
    board.install(IMAGE, "2.0", image_blob("2.0"))
    board.start()
    assert board.slots.booted == "B"
    assert not board.agent().mark(), "A can be started: so B is not marked good before it is proven"
    assert board.agent().after_boot().reboot
    board.start()
    assert board.slots.booted == "A"


def test_models_are_not_to_blame_for_a_reader_that_is_stopped(board: Board, monkeypatch: pytest.MonkeyPatch):
    board.install(MODELS, "2.0", model_blob("2.0"))
    board.read()

    def proof(unit: str, folder: Path | None) -> Verdict:
        return Verdict(False, f"{UNSURE}no camera gave a frame")

    agent = board.agent()
    agent.models._proof = proof
    for _ in range(3):
        agent.settle()
    assert agent.ledger.state.pending[MODELS].stage == "written"
    board.live()
    assert board.versions()[MODELS] == "2.0"


@pytest.mark.parametrize("error", [UpdateUnreachableError("no route"), UpdateWaitsError("the car moves")])
def test_a_line_that_breaks_is_no_refusal(error: Exception, board: Board, monkeypatch: pytest.MonkeyPatch):
    def broken(target: Target, path: Path, progress: Progress) -> None:
        raise error

    board.servers.publish(MODELS, "2.0", model_blob("2.0"))
    agent = board.agent()
    agent.check()
    monkeypatch.setattr(board.servers, "download", broken)
    assert agent.download().troubles == {MODELS: str(error)}
    assert MODELS not in agent.ledger.state.results, "the fleet's watch would count it"


def test_a_download_ends_when_the_car_drives_off_and_shows_meanwhile_that_it_lives(board: Board):
    now, vehicle, alive = [0.0], [PARKED], [0]

    def fetch(target: Target, path: Path, progress: Progress) -> None:
        for done in range(10):
            now[0] += LOOK_S
            vehicle[0] = Vehicle(speed_kmh=40.0, ignition=True) if done == 4 else vehicle[0]
            progress(done, 10)
        raise AssertionError("it went on")

    @contextmanager
    def held():  # type: ignore[no-untyped-def]
        yield board.agent()

    def beat() -> None:
        alive[0] += 1

    board.servers.publish(MODELS, "2.0", model_blob("2.0"))
    board.servers.download = fetch  # type: ignore[method-assign]
    said: list[str] = []
    hands = Hands(held, lambda: vehicle[0], lambda why: None, said.append, lambda: now[0], beat)
    Updater(UpdateConfig(url="https://x", download="parked"), hands).step()
    assert "the car moves, 40 km/h" in said[-1]
    assert alive[0] == 5

"""What is heard in the car: which alerts, in which order, how soon; and what the buttons say of them."""

from __future__ import annotations

import io
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import time as daytime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers_parts import missing
from helpers_sinks import make_event
from hypothesis import given
from hypothesis import strategies as st

from edge_alpr.cabin.alerts import Alert, Passages, Waiting, is_heard, is_silent
from edge_alpr.cabin.muting import Muting
from edge_alpr.cabin.player import Player, synthesize
from edge_alpr.cabin.run import sound
from edge_alpr.cabin.spelling import spelled, spoken
from edge_alpr.cabin.tones import CHIMES, RATE_HZ, chime
from edge_alpr.config import ButtonsConfig, Config, SoundConfig, StoreConfig, parse_config
from edge_alpr.device.buttons import Keyboard, Pins, listen
from edge_alpr.errors import ConfigError, SoundError
from edge_alpr.sinks.marks import FILE as MARKS
from edge_alpr.sinks.marks import Marks
from edge_alpr.sinks.store import EventStore
from edge_alpr.types import Event, Match

HIGH, LOW = Match("stolen", "B07KX", "exact", priority=9, sound="urgent"), Match("ours", "B07KX", "exact", priority=1)


def until(done: Callable[[], Any], seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not (result := done()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)
    return result


def hit(number: int, match: Match | None = LOW, **changes: Any) -> Event:
    return make_event(number, match=match, **changes)


# --- sounds and words


@pytest.mark.parametrize("name", CHIMES)
def test_a_chime_is_short_and_loud_and_does_not_click(name: str) -> None:
    with wave.open(io.BytesIO(chime(name))) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE_HZ)
    assert 0.03 < len(samples) / RATE_HZ < 1.0
    assert 10_000 < np.abs(samples.astype(int)).max() < 32_000
    assert abs(int(samples[0])) < 500 and abs(int(samples[-1])) < 500


def test_plates_are_spelled() -> None:
    assert spelled("b07-XO", "en") == "Bravo, zero, seven, X-ray, Oscar"
    assert spelled("K9", "de") == "Kaufmann, neun"
    assert spelled("Z1", "fr") == "Zoé, un"
    assert spoken("A1", "stolen", "en") == "stolen. Alfa, one"


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_the_spoken_plate_is_speech_of_the_right_length(language: str, tmp_path: Path) -> None:
    if not shutil.which("espeak-ng"):
        missing("no espeak-ng")
    lengths = []
    for plate in ("B0", "B07KX482"):
        synthesize(spelled(plate, language), language, tmp_path / "words.wav")  # type: ignore[arg-type]
        with wave.open(str(tmp_path / "words.wav")) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
            lengths.append(file.getnframes() / file.getframerate())
        assert np.sqrt(np.mean(samples**2)) > 500, "not silence"
    assert 0.5 < lengths[0] < 3 and 2.5 < lengths[1] < 10, "a third to one second a character"


# --- which, and in which order


def heard_of(*events: Event, every_plate: bool = False) -> list[tuple[str, bool] | None]:
    passages = Passages("en", every_plate)
    alerts = [passages.alert(event) for event in events]
    return [None if alert is None else (alert.chime, bool(alert.words)) for alert in alerts]


def test_a_hit_chimes_when_it_is_possible_and_is_spoken_once_when_confirmed() -> None:
    states = ("possible", "possible", "confirmed", "confirmed")
    assert heard_of(*(hit(1, HIGH, state=state) for state in states)) == [
        ("urgent", False), None, ("urgent", True), None,
    ]  # fmt: skip


def test_a_hit_that_is_taken_back_is_said_so_and_another_plate_is_not_heard() -> None:
    assert heard_of(hit(1, state="confirmed"), hit(1, state="withdrawn"), hit(1, state="withdrawn")) == [
        ("chime", True), ("withdrawn", False), None,
    ]  # fmt: skip
    assert heard_of(hit(1, None, state="confirmed"), hit(1, None, state="withdrawn")) == [None, None]
    plates = [hit(1, None, state=state) for state in ("possible", "confirmed", "confirmed")]
    assert heard_of(*plates, every_plate=True) == [None, ("soft", False), None]


alerts = st.builds(Alert, st.sampled_from("abcdefgh"), st.integers(1, 99), st.integers(-1, 5), st.just("chime"))


@given(st.lists(st.one_of(alerts, st.none()), max_size=40), st.integers(1, 4))
def test_the_most_urgent_is_next_and_never_do_more_wait_than_may(steps: list[Alert | None], most: int) -> None:
    waiting, there = Waiting(most), set[Alert]()
    for alert in steps:
        if alert is not None:
            before = waiting.dropped
            there = {one for one in there if one.uuid != alert.uuid} | {alert}
            waiting.add(alert)
            if waiting.dropped > before:
                there.remove(min(there, key=lambda one: (one.priority, -one.seq, one != alert)))
        elif (told := waiting.next()) is not None:
            assert told.priority == max(one.priority for one in there)
            there.remove(told)
        assert len(waiting) == len(there) <= most


@pytest.mark.parametrize(
    ("hours", "now", "silent"),
    [
        ("", daytime(3), False), ("22:00-06:30", daytime(22), True), ("22:00-06:30", daytime(6, 29), True),
        ("22:00-06:30", daytime(6, 30), False), ("22:00-06:30", daytime(12), False),
        ("12:00-14:00", daytime(13), True), ("12:00-14:00", daytime(14), False),
    ],
)  # fmt: skip
def test_silent_hours(hours: str, now: daytime, silent: bool) -> None:
    assert is_silent(hours, now) is silent


def test_the_highest_list_is_heard_always() -> None:
    low, high, none = (Alert("a", 1, priority, "chime") for priority in (1, 9, -1))
    assert [is_heard(alert, quiet=True, highest=9) for alert in (low, high, none)] == [False, True, False]
    assert all(is_heard(alert, quiet=False, highest=9) for alert in (low, high, none))
    assert not is_heard(none, quiet=True, highest=-1)


@pytest.mark.parametrize("hours", ["22-6", "24:00-06:00", "22:00", "22:00-06:60"])
def test_hours_that_are_none_are_named(hours: str) -> None:
    with pytest.raises(ConfigError, match=r"sound\.silent_hours: .* write it as 22:00-06:30"):
        parse_config(f'[sound]\nsilent_hours = "{hours}"\n', "test")


def test_muting_is_seen_by_another_process_and_ends(tmp_path: Path) -> None:
    config = SoundConfig(mute_minutes=5)
    mine, its = Muting(tmp_path, config), Muting(tmp_path, config)
    assert not its.quiet
    mine.toggle()
    assert its.muted and its.quiet
    mine.toggle()
    assert not its.muted
    mine.mute(0.001)
    until(lambda: not its.muted, 1)
    (tmp_path / "sound.json").write_bytes(b'{"muted_until_s": "')
    assert not its.muted


# --- the whole process


class Speaker:
    """A player that writes down when it was started and with what, and then takes as long as the sound."""

    def __init__(self, folder: Path, takes_s: float = 0.0) -> None:
        self._log = folder / "played"
        script = folder / "player"
        lines = ("#!/bin/sh", f'echo "$(date +%s%N) $1" >>{self._log}', f"exec sleep {takes_s}", "")
        script.write_text("\n".join(lines), encoding="utf-8")
        script.chmod(0o755)
        self.command = str(script)

    @property
    def played(self) -> list[tuple[float, str]]:
        """When (s since 1970), and which sound."""
        lines = self._log.read_text(encoding="utf-8").splitlines() if self._log.exists() else []
        return [(int(line.split()[0]) / 1e9, Path(line.split()[1]).stem) for line in lines if " " in line]

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.played]


@contextmanager
def cabin(at: Path, speaker: Speaker, buttons: ButtonsConfig | None = None, **settings: Any) -> Iterator[EventStore]:
    """A drive's store, with the sound process beside it."""
    config = Config(
        store=StoreConfig(path=str(at / "store"), signing_key=str(at / "signing-key")),
        sound=SoundConfig(player=speaker.command, **{"speech": "off"} | settings),
        buttons=buttons or ButtonsConfig(),
    )
    stop = threading.Event()
    with EventStore(at / "store", config.store) as store:
        store.append(make_event(999))
        thread = threading.Thread(target=sound, args=(config, stop))
        thread.start()
        try:
            time.sleep(0.3)
            yield store
        finally:
            stop.set()
            thread.join(10)
            assert not thread.is_alive()


def test_a_chime_begins_soon_after_its_event_is_committed(tmp_path: Path) -> None:
    speaker, committed = Speaker(tmp_path), []
    with cabin(tmp_path, speaker) as store:
        for number in range(1, 31):
            store.append(hit(number, state="confirmed"))
            committed.append(time.time())
            until(lambda number=number: len(speaker.played) == number)
    late_ms = np.array([(at - then) * 1e3 for (at, _), then in zip(speaker.played, committed, strict=True)])
    print(f"chime after commit: p50 {np.median(late_ms):.0f} ms, p99 {np.percentile(late_ms, 99):.0f} ms")
    assert np.percentile(late_ms, 90) < 300


def test_old_events_are_no_news_and_the_urgent_one_goes_first(tmp_path: Path) -> None:
    speaker = Speaker(tmp_path, takes_s=0.4)
    with cabin(tmp_path, speaker) as store:
        assert speaker.names == []
        store.append(hit(1, LOW, state="confirmed"))
        until(lambda: speaker.names == ["chime"])
        for number, match in ((2, LOW), (3, HIGH)):
            store.append(hit(number, match, state="confirmed"))
        until(lambda: len(speaker.played) == 3)
    assert speaker.names == ["chime", "urgent", "chime"]


def test_a_hit_while_the_store_is_made_or_cannot_be_read_is_heard_later(tmp_path: Path) -> None:
    speaker, stop, folder = Speaker(tmp_path), threading.Event(), tmp_path / "store"
    config = Config(store=StoreConfig(path=str(folder), signing_key=str(tmp_path / "signing-key")),
                    sound=SoundConfig(player=speaker.command, speech="off"))  # fmt: skip
    thread = threading.Thread(target=sound, args=(config, stop))
    thread.start()
    try:
        time.sleep(0.2)
        with EventStore(folder, config.store) as store:
            store.append(hit(1, state="confirmed"))
            until(lambda: speaker.names == ["chime"])
            marks = folder / MARKS
            marks.mkdir()
            time.sleep(0.5)
            store.append(hit(2, state="confirmed"))
            time.sleep(0.5)
            marks.rmdir()
            until(lambda: speaker.names == ["chime", "chime"])
    finally:
        stop.set()
        thread.join(10)


def test_muted_only_the_highest_list_is_heard(tmp_path: Path) -> None:
    speaker = Speaker(tmp_path)
    with cabin(tmp_path, speaker) as store:
        store.append(hit(1, HIGH, state="confirmed"))
        until(lambda: speaker.names == ["urgent"])
        Muting(tmp_path / "store", SoundConfig()).mute(5)
        store.append(hit(2, LOW, state="confirmed"))
        store.append(hit(3, HIGH, state="confirmed"))
        until(lambda: speaker.names == ["urgent", "urgent"])
        Muting(tmp_path / "store", SoundConfig()).mute(0)
        store.append(hit(4, LOW, state="confirmed"))
        until(lambda: speaker.names == ["urgent", "urgent", "chime"])


def test_words_follow_the_chime_and_end_when_a_more_urgent_hit_comes(tmp_path: Path) -> None:
    if not shutil.which("espeak-ng"):
        missing("no espeak-ng")
    speaker = Speaker(tmp_path, takes_s=3)
    with cabin(tmp_path, speaker, speech="espeak-ng") as store:
        store.append(hit(1, LOW, state="confirmed"))
        until(lambda: speaker.names == ["chime", "words"])
        store.append(hit(2, HIGH, state="confirmed"))
        until(lambda: speaker.names == ["chime", "words", "urgent"])
    spoken_at, urgent_at = speaker.played[1][0], speaker.played[2][0]
    assert urgent_at - spoken_at < 2.5, "the words were cut off"


def test_what_was_seen_to_on_the_screen_is_heard_no_more(tmp_path: Path) -> None:
    speaker = Speaker(tmp_path, takes_s=1.5)
    with cabin(tmp_path, speaker) as store:
        store.append(hit(1, LOW, state="confirmed"))
        until(lambda: speaker.names == ["chime"])
        event = store.append(hit(2, LOW, state="confirmed"))
        Marks(tmp_path / "store").set(event.uuid, "acknowledged", "screen")
        store.append(hit(3, HIGH, state="confirmed"))
        until(lambda: "urgent" in speaker.names)
        time.sleep(0.2)
    assert speaker.names == ["chime", "urgent"]


def test_a_list_may_have_a_sound_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "bark.wav").write_bytes(chime("soft"))
    speaker = Speaker(tmp_path)
    with cabin(tmp_path, speaker, folder=str(tmp_path / "own")) as store:
        for number, name in enumerate(("bark", "no such", "urgent"), 1):
            store.append(hit(number, replace(LOW, sound=name)))
            until(lambda number=number: len(speaker.names) == number)
    assert speaker.names == ["bark", "chime", "urgent"]


def test_a_real_player_plays_a_chime_and_one_that_fails_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if not shutil.which("aplay"):
        missing("no aplay (package alsa-utils)")
    with Player(SoundConfig(player="aplay -q -D null", speech="off")) as player:
        player.sound("urgent", lambda: False)
    assert not caplog.text
    with Player(SoundConfig(player="aplay -q -D nowhere", speech="off")) as player:
        for _ in range(3):
            player.sound("urgent", lambda: False)
    assert caplog.text.count("no sound: aplay") == 1


def test_without_a_player_it_says_what_to_install() -> None:
    with pytest.raises(SoundError, match="no such-player here to play a sound; sudo apt-get install alsa-utils"):
        Player(SoundConfig(player="such-player"))


# --- buttons


def key(code: int, value: int = 1) -> bytes:
    return struct.pack("llHHi", 1, 2, 1, code, value) + struct.pack("llHHi", 1, 2, 0, 0, 0)


def test_buttons_speak_of_the_newest_alert(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "keys")
    keys = os.open(tmp_path / "keys", os.O_RDWR)
    speaker, marks = Speaker(tmp_path), Marks(tmp_path / "store")
    with cabin(tmp_path, speaker, ButtonsConfig(keyboard=str(tmp_path / "keys"))) as store:
        first = store.append(hit(1, state="confirmed"))
        until(lambda: speaker.names == ["chime"])
        os.write(keys, key(28) + key(28, 0) + key(30))
        until(lambda: [mark.name for mark in marks.of(first.uuid)] == ["acknowledged"])
        until(lambda: speaker.names == ["chime", "tick"])
        second = store.append(hit(2, state="confirmed"))
        until(lambda: speaker.names[2:] == ["chime"])
        os.write(keys, key(1))
        until(lambda: [(mark.name, mark.who) for mark in marks.of(second.uuid)] == [("wrong", "button")])
        os.write(keys, key(57))
        until(lambda: Muting(tmp_path / "store", SoundConfig()).muted)
    os.close(keys)
    assert [mark.name for mark in marks.of(first.uuid)] == ["acknowledged"]


def test_a_keyboard_that_comes_late_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pressed: list[str] = []
    with listen(ButtonsConfig(keyboard=str(tmp_path / "keys")), pressed.append):
        until(lambda: "trying again each 2 s" in caplog.text)
        os.mkfifo(tmp_path / "keys")
        keys = os.open(tmp_path / "keys", os.O_RDWR)
        os.write(keys, key(28))
        until(lambda: pressed == ["acknowledged"])
    os.close(keys)


def test_a_real_input_device(tmp_path: Path) -> None:
    if not os.access("/dev/uinput", os.W_OK):
        pytest.skip("no /dev/uinput: this kernel lets nobody make a keyboard")
    evdev = pytest.importorskip("evdev")
    with evdev.UInput() as board:
        keyboard = Keyboard(board.device.path, {28: "acknowledged"})
        board.write(1, 28, 1)
        board.syn()
        assert until(lambda: keyboard.pressed(0.1)) == ["acknowledged"]
        keyboard.close()


def test_pins_are_asked_for_as_the_library_wants_it() -> None:
    """Against the real gpiod, on a chip that is not there: the arguments are right if it gets as far as opening it."""
    pytest.importorskip("gpiod")
    with pytest.raises(OSError, match="No such file"):
        Pins("/dev/gpiochip99", {17: "acknowledged"})


def test_a_real_pin() -> None:
    simulated = Path("/sys/kernel/config/gpio-sim")
    if not simulated.is_dir():
        pytest.skip("no gpio-sim: this kernel has no pins to try")
    chip, pull = os.environ.get("EDGE_ALPR_GPIO_SIM", ":").split(":")
    if not chip:
        pytest.skip("EDGE_ALPR_GPIO_SIM=/dev/gpiochipN:/sys/…/sim_gpio0/pull names no simulated pin")
    pins = Pins(chip, {0: "wrong"})
    for level in ("pull-up", "pull-down"):
        Path(pull).write_text(level, encoding="ascii")
    assert until(lambda: pins.pressed(0.1)) == ["wrong"]
    pins.close()


def test_a_press_of_a_pin_is_its_action(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    class Request:
        def wait_edge_events(self, wait_s: float) -> bool:
            return wait_s > 0

        def read_edge_events(self) -> list[SimpleNamespace]:
            return [SimpleNamespace(line_offset=22), SimpleNamespace(line_offset=17)]

        def release(self) -> None:
            asked["released"] = True

    gpiod, line = ModuleType("gpiod"), ModuleType("gpiod.line")
    gpiod.LineSettings = lambda **settings: settings  # type: ignore[attr-defined]
    gpiod.request_lines = lambda chip, **how: asked.update(chip=chip, **how) or Request()  # type: ignore[attr-defined]
    line.Edge, line.Bias = SimpleNamespace(FALLING=1), SimpleNamespace(PULL_UP=2)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gpiod", gpiod)
    monkeypatch.setitem(sys.modules, "gpiod.line", line)
    pins = Pins("/dev/gpiochip0", {17: "acknowledged", 22: "wrong"})
    assert pins.pressed(0.1) == ["wrong", "acknowledged"] and pins.pressed(0) == []
    pins.close()
    assert asked["chip"] == "/dev/gpiochip0" and list(asked["config"]) == [(17, 22)] and asked["released"]


def written(folder: Path, speaker: Speaker) -> Path:
    """A configuration."""
    (folder / "store").mkdir()
    config = folder / "car.toml"
    sections = f'[store]\npath = "{folder / "store"}"\n[sound]\nplayer = "{speaker.command}"\nspeech = "off"\n'
    config.write_text(sections, encoding="utf-8")
    return config


def test_the_command_tells_a_service_manager_that_it_lives(tmp_path: Path, repo: Path) -> None:
    command = [sys.executable, "-m", "edge_alpr.cli", "sound", "-c", str(written(tmp_path, Speaker(tmp_path)))]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(60)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        environment.pop("JOURNAL_STREAM", None)
        process = subprocess.Popen(command, cwd=repo, env=environment, stderr=subprocess.PIPE, text=True)
        heard = [told.recv(4096).decode().partition("=")[0] for _ in range(4)]
        assert heard[0] == "READY" and {"STATUS", "WATCHDOG"} <= set(heard), "there is no store yet"
        process.terminate()
        while told.recv(4096) != b"STOPPING=1":
            pass
        assert "there is none yet; start a drive: edge-alpr run" in " ".join(process.communicate(timeout=20)[1].split())
        assert process.returncode == 0


def test_the_command_mutes_and_plays_a_test(tmp_path: Path, repo: Path) -> None:
    speaker = Speaker(tmp_path)
    config = written(tmp_path, speaker)
    for options in (["--mute", "5"], ["--test"]):
        done = subprocess.run(
            [sys.executable, "-m", "edge_alpr.cli", "sound", "-c", str(config), *options],
            cwd=repo, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert Muting(tmp_path / "store", SoundConfig()).muted
    assert speaker.names == list(CHIMES)

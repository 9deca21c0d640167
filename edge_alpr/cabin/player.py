"""Plays sounds and words with the programs that the machine has, one at a time."""

from __future__ import annotations

import logging
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_alpr.cabin.tones import CHIMES, USUAL, chime
from edge_alpr.config import SoundConfig
from edge_alpr.errors import SoundError

_PLAYERS = ("pw-play", "paplay", "aplay -q")
_SPEAKERS = ("espeak-ng", "spd-say")
_WORDS_A_MINUTE = "150"
_LONGEST_S = 30.0
_SLICE_S = 0.02
_NULL = subprocess.DEVNULL
_log = logging.getLogger(__name__)


class Player:
    """Plays on this machine. Its chimes lie in a folder of its own while it is held. Use it from one thread."""

    def __init__(self, config: SoundConfig) -> None:
        """Raises `SoundError` where nothing can play a sound."""
        self._player = _command(config.player)
        self._speaker = speaker(config.speech)
        self._language = config.language
        self._own = Path(config.folder).expanduser() if config.folder else None
        self._folder = tempfile.TemporaryDirectory(prefix="edge-alpr-sound-")
        self._failed = ""
        for name in CHIMES:
            self._made(name).write_bytes(chime(name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def sound(self, name: str, cut: Callable[[], bool]) -> None:
        """Play a sound by its name: the owner's own, or a chime. `cut` may end it."""
        own = self._own / f"{Path(name).name}.wav" if self._own else None
        made = self._made(name if name in CHIMES else USUAL)
        self._run([*self._player, str(own if own and own.is_file() else made)], cut)

    def prepared(self, words: str) -> Callable[[Callable[[], bool]], None]:
        """Begin to turn words into speech; what is returned speaks them, unless it is cut."""
        if not words or self._speaker == "off":
            return lambda cut: None
        if self._speaker == "spd-say":
            return lambda cut: self._run(["spd-say", "--wait", "-l", self._language, "--", words], cut)
        file = Path(self._folder.name) / "words.wav"
        making = threading.Thread(target=synthesize, args=(words, self._language, file), daemon=True)
        making.start()

        def speak(cut: Callable[[], bool]) -> None:
            making.join(_LONGEST_S)
            if file.is_file():
                self._run([*self._player, str(file)], cut)
                file.unlink(missing_ok=True)

        return speak

    def _made(self, name: str) -> Path:
        return Path(self._folder.name) / f"{name}.wav"

    def _run(self, command: Sequence[str], cut: Callable[[], bool]) -> None:
        """Until it ends, is cut, or takes too long. What goes wrong is logged once: the driver still has the screen."""
        failed = ""
        try:
            with subprocess.Popen(command, stdin=_NULL, stdout=_NULL, stderr=subprocess.PIPE) as run:
                failed = _wait(run, cut)
        except OSError as error:
            failed = str(error)
        if failed and failed != self._failed:
            _log.warning("no sound: %s: %s", command[0], failed)
        self._failed = failed


def _wait(run: subprocess.Popen[bytes], cut: Callable[[], bool]) -> str:
    """Empty, or why a command failed."""
    waited_s = 0.0
    while run.poll() is None:
        if cut() or waited_s > _LONGEST_S:
            run.kill()
            run.wait()
            return ""
        try:
            run.wait(_SLICE_S)
        except subprocess.TimeoutExpired:
            waited_s += _SLICE_S
    told = run.stderr.read(500).decode(errors="replace").split("\n")[0] if run.stderr else ""
    return f"exit {run.returncode}: {told}" if run.returncode else ""


def synthesize(words: str, language: str, file: Path) -> None:
    """Have espeak-ng write words as speech into a WAV file; there is none where it fails."""
    command = ["espeak-ng", "-v", language, "-s", _WORDS_A_MINUTE, "-w", str(file), "--", words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_LONGEST_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        _log.warning("no speech: %s", error)
        return
    if done.returncode:
        file.unlink(missing_ok=True)
        _log.warning("no speech: espeak-ng: %s", done.stderr.decode(errors="replace").strip())


def speaker(wanted: str) -> str:
    """Who speaks: the program that is wanted, `off` where there is none. Raises `SoundError` where it is missing."""
    if wanted == "auto":
        return next((name for name in _SPEAKERS if shutil.which(name)), "off")
    if wanted != "off" and not shutil.which(wanted):
        raise SoundError(f"sound.speech: there is no {wanted}; sudo apt-get install {_package(wanted)}")
    return wanted


def _package(program: str) -> str:
    return "speech-dispatcher" if program == "spd-say" else program


def _command(player: str) -> list[str]:
    for command in [player] if player else _PLAYERS:
        words = shlex.split(command)
        if words and shutil.which(words[0]):
            return words
    raise SoundError(f"no {player or 'pw-play, paplay or aplay'} here to play a sound; sudo apt-get install alsa-utils")

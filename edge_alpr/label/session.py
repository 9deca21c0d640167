"""A labelling session: what was said so far, on disk after each step; the data set follows from it.

In the out folder: `labelling.json` is the truth (every mark, and the last steps for undo), replaced whole; from it
follow `labels.jsonl` and `pictures/`, where a picture is only while it is done. Whatever a crash left is put right when
the session is opened again.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_alpr.errors import EdgeAlprError, LabelError
from edge_alpr.evaluate.labels import FILE
from edge_alpr.label.marks import Mark, Said, check, label_lines
from edge_alpr.label.pictures import Picture, Pictures
from edge_alpr.sinks.sealing import write_whole

STATE = "labelling.json"
MOST_UNDO = 100


class _State(msgspec.Struct, kw_only=True):
    version: int = 1
    marks: dict[str, Mark] = {}
    undo: list[tuple[str, Mark | None]] = []
    """Name of a picture and what was said of it before, the latest last."""


class Session:
    """Marks for a list of pictures. One process at a time; every change is durable when the method returns."""

    def __init__(self, pictures: Pictures, out: Path) -> None:
        """Open or begin. Raises `LabelError` where the folder holds another's labels, or cannot be written."""
        self.pictures = pictures
        self.out = out
        self._opened: tuple[int, Picture] | None = None
        self._state = _State(marks={}, undo=[])
        self._failed: set[str] = set()
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._state = _load(out)
            self._put_right()
        except OSError as error:
            raise LabelError(f"{out}: cannot be written: {error.strerror}; choose another folder with --out") from error

    def picture(self, index: int) -> Picture:
        """One of the pictures; the latest stays open. Raises `EdgeAlprError`."""
        if self._opened is None or self._opened[0] != index:
            self._opened = (index, self.pictures.open(index))
        return self._opened[1]

    def said(self, index: int) -> Said:
        """What was said of a picture, or the guess it begins with."""
        mark = self._state.marks.get(self.pictures.names[index])
        return mark.said if mark else Said(plates=self.picture(index).plates)

    def marked(self, index: int) -> Said | None:
        """What was said of a picture, without opening it; None before."""
        mark = self._state.marks.get(self.pictures.names[index])
        return mark.said if mark else None

    def say(self, index: int, said: Said) -> None:
        """Take what a person says of a picture. Raises `LabelError`, and then all is as before."""
        name, picture = self.pictures.names[index], self.picture(index)
        height, width = picture.image.shape[:2]
        mark = Mark(image=name, width=width, height=height, said=check(said, width, height))
        before = self._state.marks.get(name)
        if before != mark:
            undo = [*self._state.undo, (name, before)][-MOST_UNDO:]
            self._change(_State(marks={**self._state.marks, name: mark}, undo=undo), name)

    def undo(self) -> int | None:
        """Take the last step back; the index of its picture, or None where there is none (any more)."""
        if not self._state.undo:
            return None
        *undo, (name, before) = self._state.undo
        marks = {key: mark for key, mark in self._state.marks.items() if key != name or before}
        if before:
            marks[name] = before
        self._change(_State(marks=marks, undo=undo), name)
        return self.pictures.names.index(name) if name in self.pictures.names else None

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._state.undo)

    def _change(self, state: _State, name: str) -> None:
        try:
            write_whole(self.out / STATE, msgspec.json.encode(state))
            self._state = state
            self._place(name)
            self._write_labels()
        except OSError as error:
            raise LabelError(f"{self.out}: cannot be written: {error.strerror}; make room and try again") from error

    def _place(self, name: str) -> None:
        """Have a picture in the set exactly while it is done."""
        target, mark = self.out / name, self._state.marks.get(name)
        if not (mark and mark.said.done):
            target.unlink(missing_ok=True)
        elif not target.exists() and name in self.pictures.names:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, self.picture(list(self.pictures.names).index(name)).original)

    def _put_right(self) -> None:
        for name in self._state.marks:
            try:
                self._place(name)
            except EdgeAlprError:
                self._failed.add(name)  # its example does not open any more, and its copy is gone
        self._write_labels()

    def _write_labels(self) -> None:
        marks = [mark for name, mark in self._state.marks.items() if (self.out / name).exists()]
        lines = b"".join(msgspec.json.encode(line) + b"\n" for line in label_lines(marks))
        if lines or (self.out / FILE).exists():
            write_whole(self.out / FILE, lines)


def _load(out: Path) -> _State:
    path = out / STATE
    if not path.exists():
        if (out / FILE).exists():
            raise LabelError(f"{out}: holds labels that were not made here; choose another folder with --out")
        return _State(marks={}, undo=[])
    try:
        state = msgspec.json.decode(path.read_bytes(), type=_State)
    except msgspec.MsgspecError as error:
        raise LabelError(f"{path}: damaged: {error}; move it away, or choose another folder with --out") from error
    for name in (*state.marks, *(name for name, _ in state.undo)):
        if not _is_plain(name):
            raise LabelError(f"{path}: names a picture outside the folder: {name}; move the file away")
    return state


def _is_plain(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts and path.parts[:1] == ("pictures",)

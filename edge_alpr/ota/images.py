"""The life of an image: written to the side that does not run, booted on trial, proven or back.

Which side runs and which comes next is the boot loader's word; see `state` for what is remembered besides.
"""

from __future__ import annotations

from pathlib import Path

from edge_alpr.errors import SlotError, UpdateWaitsError
from edge_alpr.ota import state as states
from edge_alpr.ota.ledger import Ledger
from edge_alpr.ota.state import MOST_BOOTS, NO_VERDICT, Pending
from edge_alpr.ota.types import IMAGE, BootSlots, Progress, Proof, Slot, Slots, Target

ASKED = "asked for"


class Images:
    """One unit of `Agent`. `boot` tells one boot from another. Raises `SlotError` where the boot loader does."""

    def __init__(self, ledger: Ledger, slots: BootSlots, proof: Proof, boot: str) -> None:
        self._ledger, self._slots, self._proof, self._boot = ledger, slots, proof, boot

    def running(self) -> str:
        """The version of the side that runs."""
        look = self._slots.look()
        return _slot(look, look.booted).version

    def is_proven(self) -> bool:
        """Whether the side that runs is."""
        look = self._slots.look()
        return self._proven(_slot(look, look.booted))

    def install(self, bundle: Path, progress: Progress) -> None:
        """Write the other side; the next boot starts it. May be called again after a cut."""
        ledger, look = self._ledger, self._slots.look()
        booted = _slot(look, look.booted)
        if not self._proven(booted) and self._fit(_other(look)):
            raise UpdateWaitsError("the side that runs is not proven yet, and the other one is the way back")
        ledger.save(states.writing(ledger.state, _other(look).name, (booted.name, booted.version), ledger.now_s))
        self._slots.install(bundle, progress)
        ledger.save(states.moved(ledger.state, IMAGE, "written", ledger.now_s))

    def mark(self) -> bool:
        """First thing in each boot: mark the side that runs good if it is proven, or if there is no other to start.

        The boot loader counts boots until then, and a car's voltage may break down at each of some cranks. False: it is
        on trial.
        """
        look = self._slots.look()
        if not self._proven(_slot(look, look.booted)) and self._fit(_other(look)):
            return False
        self._slots.mark_good()
        return True

    def after_boot(self) -> bool:
        """After `mark`: prove what is on trial, or go back. True: it goes back by a reboot now."""
        if (pending := self._pending()) and pending.stage == "returning":
            if self._slots.look().booted == pending.side:
                return self._go_back(pending)
            self._came_back(pending)
        look = self._slots.look()
        booted = _slot(look, look.booted)
        if not self._proven(booted):
            return self._try(booted)
        if (pending := self._pending()) and pending.stage in ("written", "trial"):
            self._fell_back(pending, look)
        return False

    def failed(self, why: str) -> bool:
        """The proof itself broke down. True: the side was on trial, and it goes back by a reboot now."""
        look = self._slots.look()
        booted = _slot(look, look.booted)
        if self._proven(booted):
            return False
        if (pending := self._pending()) and pending.stage == "returning":
            return self._go_back(pending)
        ledger = self._ledger
        ledger.save(states.on_trial(ledger.state, _known(self._pending(), booted), booted.name, ledger.now_s))
        return self._judge_bad(booted, why)

    def rollback(self) -> bool:
        """Back to the other side, as somebody wants. True: a reboot brings it. Raises `SlotError` where it can't be."""
        ledger, look = self._ledger, self._slots.look()
        booted, pending = _slot(look, look.booted), self._pending()
        if pending and pending.stage in ("writing", "written") and pending.side != booted.name:
            self._slots.activate(booted.name)
            ledger.save(states.ended(ledger.state, IMAGE, "back", ASKED, ledger.now_s))
            return False
        if not self._fit(_other(look)):
            raise SlotError(f"side {_other(look).name} cannot be started: it is empty, not whole, or failed before")
        state = states.on_trial(ledger.state, _known(pending, booted), booted.name, ledger.now_s)
        ledger.save(states.returning(state, IMAGE, ASKED, asked=True))
        self._slots.activate(_other(look).name)
        return True

    def _pending(self) -> Pending | None:
        return self._ledger.state.pending.get(IMAGE)

    def _proven(self, slot: Slot) -> bool:
        return self._ledger.state.proven.get(slot.name) == slot.version

    def _fit(self, slot: Slot) -> bool:
        state = self._ledger.state
        return slot.good and (bool(slot.version) or slot.name in state.proven or slot.name in state.ran)

    def _try(self, booted: Slot) -> bool:
        ledger = self._ledger
        target = _known(self._pending(), booted)
        state = states.on_trial(ledger.state, target, booted.name, ledger.now_s)
        ledger.save(states.booted(state, IMAGE, self._boot))
        if ledger.state.pending[IMAGE].boots > MOST_BOOTS:
            return self._judge_bad(booted, NO_VERDICT)
        if target.path and target.version != booted.version:  # else it would be installed again and again
            return self._judge_bad(booted, f"the bundle of {target.version} holds {booted.version or 'no version'}")
        verdict = self._proof(IMAGE, None)
        if not verdict.good:
            return self._judge_bad(booted, verdict.why)
        self._slots.mark_good()
        state = states.proven(ledger.state, booted.name, booted.version)
        ledger.save(states.ended(state, IMAGE, "good", "", ledger.now_s))
        return False

    def _judge_bad(self, booted: Slot, why: str) -> bool:
        """Back to the other side; where that is none to start, a side that works in part is better than none."""
        ledger = self._ledger
        if not self._fit(_other(self._slots.look())):
            self._slots.mark_good()
            ledger.save(states.ended(ledger.state, IMAGE, "refused", f"it stays, for want of another: {why}",
                                     ledger.now_s))  # fmt: skip
            return False
        ledger.save(states.returning(ledger.state, IMAGE, why))
        return self._go_back(ledger.state.pending[IMAGE])

    def _go_back(self, pending: Pending) -> bool:
        other = _other(self._slots.look()).name
        if not pending.asked:
            self._slots.mark_bad(pending.side)
        self._slots.activate(other)
        return True

    def _came_back(self, pending: Pending) -> None:
        ledger, look = self._ledger, self._slots.look()
        if not pending.asked:
            self._slots.mark_bad(pending.side)
        self._slots.activate(look.booted)
        ledger.save(states.ended(ledger.state, IMAGE, "back", pending.why, ledger.now_s))

    def _fell_back(self, pending: Pending, look: Slots) -> None:
        """It is written, and yet the old side runs: nobody rebooted yet, or the boot loader could not start it."""
        ledger, side = self._ledger, _slot(look, pending.side)
        ledger.save(states.booted(ledger.state, IMAGE, self._boot))
        if side.good and look.primary == side.name and ledger.state.pending[IMAGE].boots <= MOST_BOOTS:
            return
        self._slots.mark_bad(side.name)
        self._slots.activate(look.booted)
        why = f"{states.GIVEN_UP} after {pending.boots} boots that came as far as the proof"
        ledger.save(states.ended(ledger.state, IMAGE, "back", why, ledger.now_s))


def _slot(look: Slots, name: str) -> Slot:
    found = [slot for slot in look.slots if slot.name == name]
    if not found:
        raise SlotError(f"the boot loader speaks of side '{name}', which is none of the two")
    return found[0]


def _other(look: Slots) -> Slot:
    return next(slot for slot in look.slots if slot.name != look.booted)


def _known(pending: Pending | None, booted: Slot) -> Target:
    """What runs on a side that is on trial: the update that was written there, or one that nobody remembers."""
    if pending is not None and pending.side == booted.name:
        return pending.target
    return states.lost_target(IMAGE, booted.version)

"""Typed errors. Every message is one line: what is wrong, then what to do about it."""

from __future__ import annotations


class EdgeAlprError(Exception):
    """Base of all errors that a user can mend. The command line prints the message and exits with 2."""


class ConfigError(EdgeAlprError):
    """The configuration has an unknown key, a wrong type or a value out of range."""


class SoundError(EdgeAlprError):
    """Nothing can be heard, or a button cannot be listened to."""


class SourceError(EdgeAlprError):
    """A camera, stream or recording cannot be read."""


class SourceNotFoundError(SourceError):
    """There is nothing at that URI, or nothing in that folder."""


class SourceCorruptError(SourceError):
    """The file is there but is damaged, truncated, or holds no video."""


class CameraLostError(SourceError):
    """A live camera went away and did not come back in time."""


class MissingElementError(SourceError):
    """A GStreamer element or binding is not installed; the message says which package has it."""


class SurfaceError(SourceError):
    """A picture in device memory does not lie there as the networks need it: frames in system memory would do."""


class SurfaceLostError(SurfaceError):
    """A call on a picture in device memory failed. It may succeed when the pipeline is started anew."""


class ImageError(EdgeAlprError):
    """A picture cannot be read."""


class ModelError(EdgeAlprError):
    """A model package cannot be used; the message says which line of its card does not hold."""


class StoreError(EdgeAlprError):
    """The event store cannot be opened or written."""


class StoreFullError(StoreError):
    """The disk of the store is full. What was stored is kept; the event at hand was not stored."""


class StoreCorruptError(StoreError):
    """The file of the store is damaged. Opening it again repairs it."""


class EventError(EdgeAlprError):
    """An event does not keep its contract, e.g. a score that is no number or not within 0 to 1."""


class SinkError(EdgeAlprError):
    """A sink cannot take an event, or cannot be opened."""


class OutputClosedError(SinkError):
    """Whoever read our standard output has gone, as in `edge-alpr run | head`: stop quietly, exit 0."""


class DatasetError(EdgeAlprError):
    """A set of labelled pictures cannot be used; the message names the line."""


class SealError(EdgeAlprError):
    """Something encrypted at rest cannot be opened: torn, changed, renamed, or not ours."""


class WrongKeyError(SealError):
    """It was sealed with another key than the one at hand."""


class KeyFileError(SealError):
    """The key file is missing, damaged, or open to others; or the cryptography package is not installed."""


class HotListError(EdgeAlprError):
    """A hot list cannot be read, written or used."""


class UnsignedListError(HotListError):
    """A hot list has no valid signature of a known key, where one is required."""


class ListNotKeptError(HotListError):
    """The compiled form of a hot list cannot be written; the list itself is good."""


class RecordError(EdgeAlprError):
    """What is asked of the stored events cannot be done, or a file does not prove what it claims."""


class LabelError(EdgeAlprError):
    """There is nothing to label there, or what was labelled cannot be written."""


class DisplayError(EdgeAlprError):
    """The page for the screen cannot be served, or no browser can show it."""


class RuntimeFolderError(EdgeAlprError):
    """The folder of what lives as long as the machine is up cannot be made, or belongs to somebody else."""


class PlanError(ModelError):
    """A TensorRT plan must not be used: it is missing, damaged, another device's, or its golden check did not pass."""


class BuildError(ModelError):
    """TensorRT cannot build a plan here."""


class BuildMemoryError(BuildError):
    """The memory ran out while a plan was built."""


class GpuError(EdgeAlprError):
    """A call of CUDA or TensorRT failed; the message has the driver's name of the error. Trying again may help.

    `status` is the driver's number of the error, 0 where it gave none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class GpuLostError(GpuError):
    """The GPU is gone or its context is broken: nothing runs there until the program starts again."""


class LinkError(EdgeAlprError):
    """A link out (MQTT, webhook, metrics) cannot be set up as configured, or events still wait for one."""


class UpdateError(EdgeAlprError):
    """An update cannot be had, kept or installed. What runs is untouched."""


class UpdateRefusedError(UpdateError):
    """What the servers sent must not be used: wrongly signed, expired, older, mixed, too long, or not for this car."""


class UpdateUnreachableError(UpdateError):
    """The servers cannot be reached, or stopped in the middle; trying again later may help."""


class UpdateWaitsError(UpdateError):
    """It is not its time yet; nothing is wrong with it."""


class UpdateSpaceError(UpdateError):
    """There is no room for it on the data partition."""


class SlotError(UpdateError):
    """The boot loader or RAUC cannot do what is asked."""

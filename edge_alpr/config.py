"""The configuration: one TOML file, strict, read once and frozen. Every value names or states its unit."""

from __future__ import annotations

import math
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec
import tomli_w
from msgspec import Meta

from edge_alpr.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Limit = Annotated[float, Meta(ge=0)]
"""0: no limit."""
Precision: TypeAlias = Literal["auto", "full", "int8"]
Tier: TypeAlias = Literal["large", "small"]
"""The shipped detectors: the large one finds more, the small one is faster."""
MOST_CAMERAS = 4
_NIGHT = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: frozen, and an unknown key is an error."""


class SourceConfig(Section, frozen=True):
    """Where frames come from."""

    uri: str = "sample://drive"
    camera_id: str = "camera0"
    latency_ms: Natural = 100
    """Jitter buffer of an RTSP stream."""
    stall_s: Positive = 10.0
    """A live camera that sends nothing for so long is taken as gone and started again."""
    reconnect_s: Positive = 120.0
    """How long to try to get a lost live camera back before giving up; pauses grow from 0.5 s to 10 s."""


class ModelsConfig(Section, frozen=True):
    """Which model packages run. Empty means that of the set in `shelf`, else the shipped one."""

    detector: str = ""
    tier: Tier = "large"
    """Which of the shipped detectors runs where `detector` is empty."""
    reader: str = ""
    precision: Precision = "auto"
    """`auto`: the INT8 variant beside a package, where the processor multiplies bytes; `full` never, `int8` always."""
    run_on: Literal["auto", "gpu", "cpu"] = "auto"
    """`auto`: drives run on the GPU where there is one and `engines` has graphs for it; `gpu`: else an error."""
    engines: str = "engines/build"
    """Folder of the graphs and plans for the GPU. See docs/gpu.md."""
    shelf: str = ""
    """Folder of model sets side by side; its link `current` names the one that reads. Empty: those that shipped."""
    threads: Natural = 0
    """Threads for a network, 0: as many as cores, at most 4; half of them in a drive, where two run at a time."""


class DetectConfig(Section, frozen=True):
    """Finding plates."""

    threshold: Share = 0.35
    nms_iou: Share = 0.4
    max_plates: Count = 16
    """Plates read in one frame, the best scored first."""
    min_width_px: Positive = 16.0
    look_again: bool = True
    """Look at the corners of small plates a second time, in the frame's own pixels (about a millisecond each)."""


class TrackConfig(Section, frozen=True):
    """Following plates from frame to frame."""

    max_gap_s: Positive = 2.5
    """A track unseen for so long (media time) is lost."""
    max_tracks: Count = 64
    min_overlap: Share = 0.1
    """Least IoU of the predicted box with a detection for association by motion alone."""


class EventConfig(Section, frozen=True):
    """When a driver is told."""

    possible_score: Share = 0.5
    confirm_score: Share = 0.85
    """Probability of being right that the fused read needs to be confirmed."""
    confirm_reads: Count = 2
    """Reads needed while the track lives; a track that ends may confirm with fewer, see `single_score`."""
    single_score: Share = 0.72
    """What a track seen only once needs to be confirmed when it ends."""
    min_length: Count = 4
    """Shorter texts are never told."""
    cooldown_s: Positive = 300.0
    """The same vehicle seen again within so long is the same passage: no second notification."""


class FormatsConfig(Section, frozen=True):
    """Plate formats of countries as a prior over texts; off while `regions` is empty. See docs/formats.md."""

    regions: tuple[str, ...] = ()
    """Codes such as ro or us-ca, and groups such as eu, us: `edge-alpr formats` lists them."""
    mode: Literal["hint", "filter"] = "hint"
    """hint: texts that fit are likelier; filter: besides, texts that do not fit are not told, but counted."""
    strength: Share = 0.2
    """Share of the odds counted from the table (an exponent) that is believed; 0: none."""
    table: str = ""
    """A TOML file of your own formats, added to the shipped table or in place of its entries."""


class StoreConfig(Section, frozen=True):
    """The event store on disk."""

    path: str = "~/.local/share/edge-alpr"
    """Folder of `events.sqlite3` and of the pictures."""
    keep_images: bool = True
    jpeg_quality: Annotated[int, Meta(ge=10, le=100)] = 85
    device_id: str = ""
    """Empty: the host name."""
    quota_mb: Limit = 2000.0
    """Events with their pictures may take so much; beyond it the oldest are deleted, locked ones never."""
    retention_days: Limit = 30.0
    """Events older than this are deleted, locked ones never."""
    encrypt: bool = False
    """Texts and pictures are encrypted at rest (AES-256-GCM); takes the `seal` extra. See docs/store.md."""
    key_file: str = "~/.config/edge-alpr/key"
    """The key that they are encrypted with; made on first use, mode 0600."""
    key_command: str = ""
    """A command that prints the key (TPM, systemd-creds, the board's key store) in place of `key_file`; no shell."""
    signing_key: str = "~/.config/edge-alpr/signing-key"
    """The device's key (Ed25519) that signs what is exported and the audit log; made on first use, mode 0600."""


class PrivacyConfig(Section, frozen=True):
    """What is kept of people who are on no list. See docs/store.md."""

    forget_after_min: Limit = 15.0
    """Passages that hit no hot list and are not locked are deleted after so many minutes; 0: they stay."""
    share: Literal["hits", "all", "nothing"] = "hits"
    """Which events links out may send."""


class OutputConfig(Section, frozen=True):
    """What is written besides the store."""

    events: str = ""
    """Append events as JSON lines to this file, `-` for standard output, empty for none."""
    states: tuple[Literal["possible", "confirmed", "withdrawn"], ...] = ("possible", "confirmed", "withdrawn")
    """Which states go to `events` and to the screen."""
    heartbeat: str = ""
    """Append heartbeats as JSON lines to this file; empty for none. The store's folder has a live drive's newest."""
    heartbeat_s: Positive = 60.0
    """How often the drive says how it is; besides at once when the governor changes its level."""


class StillsConfig(Section, frozen=True):
    """Pictures by themselves (`read`, `eval`). A plate read with a score from `again_from` to under `again_below` is
    cut and read twice more; in a drive the next frame does that."""

    again_from: Share = 0.02
    again_below: Share = 0.9
    """0: never."""


class LearningConfig(Section, frozen=True):
    """What the device keeps so that its models can be trained further, and how it watches them."""

    keep_hard_examples: bool = False
    """The owner's leave: keep pictures of plates that were hard to read, encrypted, on this device."""
    folder: str = ""
    """Where they are kept; empty: `examples` in the store's folder."""
    key_file: str = "~/.config/edge-alpr/key"
    """The key that they are encrypted with; made on first use, mode 0600."""
    low_agreement: Share = 0.6
    """A track with a smaller share of its reads saying its text is a hard one."""
    max_examples: Count = 500
    max_mb: Positive = 100.0
    max_days: Positive = 30.0
    """Older examples are deleted; of too many, the easiest first."""
    watch_drift: bool = True
    """Count by week how live drives went (no texts), so that `doctor` sees when the models no longer fit the road."""


class GovernorConfig(Section, frozen=True):
    """Limits of a live drive; over one of them less is done for each frame. 0: no limit. See docs/governor.md."""

    enabled: bool = True
    p99_ms: Limit = 0.0
    """99th percentile of decoded frame to reads, over the latest seconds."""
    queue_ms: Limit = 200.0
    """Age of a frame when its turn comes, against the youngest seen of this camera."""
    watts: Limit = 0.0
    """Power that the board says it draws."""
    lost_percent: Limit = 10.0
    """Share of the frames that are lost because none was taken in time, of `enough_fps` or of a slower camera's own."""
    enough_fps: Positive = 6.0
    """So many frames a second of a camera are enough: what a faster one drops beyond is no loss."""
    celsius: Limit | Literal["board"] = "board"
    """The hottest part of the board; `board`: 5 less than where its own software slows it down, if it tells."""
    slow_kmh: Limit = 0.0
    """Below this speed every second frame is enough; 0: the speed does not matter."""


class HotListsConfig(Section, frozen=True):
    """Plates to look for. See docs/hotlists.md."""

    folder: str = ""
    """Folder of the lists (`*.csv`, `*.json`); empty: `hotlists` in the store's folder."""
    classes: tuple[str, ...] = ("0ODQ", "1I", "2Z", "5S", "8B", "6G")
    """Characters easily taken for one another: a text that differs within them only is `equivalent`."""
    max_distance: Annotated[int, Meta(ge=0, le=1)] = 1
    """Characters by which an entry may further differ from a text that was read."""
    false_alerts: Positive = 0.5
    """False alerts that may be expected in a shift of 8 hours, all lists together; it sets how sure a hit must be."""
    min_score: Share = 0.05
    """Hits less likely than this are not told, however few false alerts they would make."""
    plates_per_hour: Positive = 600.0
    """Vehicles met in an hour, about."""
    hits_per_shift: Positive = 1.0
    """Vehicles of the lists that are met in a shift, about; weighed against chance likenesses."""
    plates_in_use: Positive = 1e7
    """How many plates there are where the car drives, about."""
    stale_after_h: Limit = 48.0
    """A list older than this is shown as stale; 0: never."""
    reload_s: Positive = 2.0
    """How often the folder is looked at for changes."""
    keys: str = ""
    """Folder of the public keys (`*.pub`, PEM, Ed25519) that lists may be signed with."""
    require_signature: bool = False
    """Refuse lists without a valid signature."""

    def __post_init__(self) -> None:
        """Refuse classes that overlap. Raises `ConfigError`."""
        chars = "".join(self.classes)
        known = {char for char in chars if char.isascii() and (char.isdigit() or char.isupper())}
        if wrong := sorted({char for char in chars if chars.count(char) > 1 or char not in known}):
            raise ConfigError(f"hotlists.classes: '{wrong[0]}' stands twice or is none of A-Z and 0-9")


Shape: TypeAlias = Literal["edge-alpr", "openalpr", "platerecognizer"]
"""How an event looks outside: docs/links.md."""
States: TypeAlias = tuple[Literal["possible", "confirmed", "withdrawn"], ...]
_ALL_STATES: States = ("possible", "confirmed", "withdrawn")


class MqttConfig(Section, frozen=True):
    """The MQTT broker that `edge-alpr uplink` tells. Off while `host` is empty."""

    host: str = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """0: 8883 with TLS, 1883 without."""
    topic: str = "edge-alpr/{device_id}"
    """What all topics begin with; `{device_id}` is `store.device_id`, letters, digits, - and _ only."""
    client_id: str = ""
    """Empty: `edge-alpr-{device_id}`. The broker has one client of a name at a time."""
    protocol: Literal["5", "3.1.1"] = "5"
    """A broker of 3.1.1 cannot say that it refused an event."""
    tls: bool = True
    ca_file: str = ""
    """Certificates (PEM) that the broker's must come from; empty: the system's."""
    cert_file: str = ""
    key_file: str = ""
    """The certificate (PEM) that this device shows, and its key."""
    user: str = ""
    password_file: str = ""
    """A file that only its owner may read."""
    keepalive_s: Annotated[int, Meta(ge=5, le=65535)] = 60
    """The broker tells the last will after one and a half times as long without a word."""
    shape: Shape = "edge-alpr"
    states: States = _ALL_STATES
    tracked_object_update: bool = True
    """Tell each event a second time as Frigate does its plates."""
    discovery: str = "homeassistant"
    """Home Assistant's discovery prefix; empty: do not announce the device."""


class WebhookConfig(Section, frozen=True):
    """A server that is told by HTTP. `name` is what its queue on disk goes by, whatever its address."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,32}$")]
    url: Annotated[str, Meta(pattern="^https?://")]
    shape: Shape = "edge-alpr"
    states: States = _ALL_STATES
    pictures: bool = False
    """Send the kept pictures along, as multipart/form-data."""
    heartbeat: bool = False
    """Send heartbeats too, each minute; they are not kept for later."""
    secret_file: str = ""
    """The key of the signature (`whsec_` and base64, or any text); a file that only its owner may read."""
    token_file: str = ""
    """Sent as `Authorization: Bearer …`; a file that only its owner may read."""
    ca_file: str = ""
    """Certificates (PEM) that the server's must come from; empty: the system's."""
    timeout_s: Positive = 10.0
    max_pause_s: Positive = 120.0
    """Longest pause between tries; pauses grow from a second, with jitter. A server's `Retry-After` goes first."""


class MetricsConfig(Section, frozen=True):
    """Prometheus metrics of `edge-alpr uplink`."""

    listen: Annotated[str, Meta(pattern=r"^(|.+:[0-9]{1,5})$")] = ""
    """Address and port, `127.0.0.1:9477`; empty: none. There is no plate in them, and no password before them."""


class DisplayConfig(Section, frozen=True):
    """The page for the car's screen. See docs/display.md."""

    host: str = "127.0.0.1"
    """Where it is served; any other than this machine itself takes a `password`."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8470
    """0: any free one."""
    names: tuple[str, ...] = ()
    """Names and addresses, besides `host`, that browsers open the page by."""
    password: str = ""
    """Its hash, as `edge-alpr display --hash-password` prints it; empty: none is asked for."""
    night: Annotated[str, Meta(pattern=_NIGHT)] = "19:00-07:00"
    """Local time of the dark theme, where the browser does not ask for it at all times."""
    card_minutes: Positive = 15.0
    """How long a hit that nobody answers stays on the screen."""
    live_fps: Annotated[float, Meta(ge=0, le=5)] = 5.0
    """Live pictures a second at the most; none are made while nobody looks. 0: never."""
    runtime: str = ""
    """Folder of the live picture; empty: $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/edge-alpr or /dev/shm/edge-alpr-UID."""


class PositionConfig(Section, frozen=True):
    """Place and time from a GPS receiver, by way of gpsd. See docs/position.md."""

    gpsd: str = ""
    """HOST:PORT of gpsd, as a rule 127.0.0.1:2947; empty: no position."""
    stale_s: Positive = 5.0
    """A fix says nothing of moments further away."""

    def __post_init__(self) -> None:
        """Refuse what names no port. Raises `ConfigError`."""
        host, port = self.gpsd.rpartition(":")[::2]
        if self.gpsd and not (host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise ConfigError(f"position.gpsd: '{self.gpsd}' is no HOST:PORT; as a rule it is 127.0.0.1:2947")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of gpsd, where it is set."""
        host, _, port = self.gpsd.rpartition(":")
        return host.strip("[]"), int(port)


class SoundConfig(Section, frozen=True):
    """What is heard in the car (`edge-alpr sound`). See docs/sound.md."""

    player: str = ""
    """A command that plays the WAV file named after it; empty: pw-play, paplay or aplay, whichever is there."""
    speech: Literal["auto", "espeak-ng", "spd-say", "off"] = "auto"
    """Who speaks; `auto`: the first of them that is there."""
    language: Literal["en", "de", "fr"] = "en"
    """Of the spelling alphabet and the voice."""
    folder: str = ""
    """Sounds of your own: a list's sound NAME is NAME.wav here, before the chimes that ship."""
    every_plate: bool = False
    """A soft sound for each confirmed plate that is on no list, too."""
    silent_hours: str = ""
    """Such as 22:00-06:30, local time: then only the highest list is heard."""
    mute_minutes: Positive = 30.0
    """How long muting lasts."""
    most_waiting: Count = 8
    """Alerts that wait for their turn; beyond that the least urgent is dropped, and counted."""

    def __post_init__(self) -> None:
        """Refuse hours that are none. Raises `ConfigError`."""
        hour = r"([01]\d|2[0-3]):[0-5]\d"
        if self.silent_hours and not re.fullmatch(f"{hour}-{hour}", self.silent_hours):
            raise ConfigError(f"sound.silent_hours: '{self.silent_hours}' is none; write it as 22:00-06:30")


class ButtonsConfig(Section, frozen=True):
    """Buttons in the car, on pins of the board or a keyboard; the sound process listens to them. See docs/sound.md."""

    keyboard: str = ""
    """Input device, as a rule one of /dev/input/by-id/*-event-kbd; empty: none."""
    acknowledge_key: Natural = 28
    """Key codes of Linux (28: Enter, 1: Esc, 57: space); 0: none. `evtest` tells them."""
    wrong_key: Natural = 1
    mute_key: Natural = 57
    gpio: str = ""
    """Chip of the pins, such as /dev/gpiochip0; empty: none."""
    acknowledge_line: int = -1
    """Lines of the chip; -1: none. A button connects its line to ground."""
    wrong_line: int = -1
    mute_line: int = -1


class UpdateConfig(Section, frozen=True):
    """Updates over the air (`edge-alpr update`). Off while `url` is empty. See docs/updates.md."""

    url: Annotated[str, Meta(pattern=r"^(|https://[^\s]+|http://(127\.0\.0\.1|localhost)(:[0-9]+)?(/[^\s]*)?)$")] = ""
    """Below it lie `director/` and `image/`, the two repositories; plain HTTP only from this machine itself."""
    ca_file: str = ""
    """Certificates (PEM) that the server's must come from; empty: the system's."""
    roots: str = "/usr/share/edge-alpr/roots"
    """Folder of the first keys: `director/root.json` and `image/root.json`, as the image brings them."""
    folder: str = ""
    """Folder of `models` and `update` on the data partition; empty: the store's folder."""
    board: Literal["auto", "orin-nano", "orin-nx", "agx-orin", "thor", "pc"] = "auto"
    """Which bundles are for this board; `auto`: the board says it."""
    check_h: Positive = 6.0
    """How often the servers are asked."""
    bandwidth_kb_s: Limit = 0.0
    """Downloads take at most so many kB a second."""
    download: Literal["always", "parked"] = "always"
    """Whether downloads wait until the car stands, too; installing does in any case."""
    parked_min: Limit = 5.0
    """The car is parked when it has stood, or its ignition has been off, for so many minutes; 0: it need not be."""
    battery_file: str = ""
    """A file with the voltage, such as /sys/bus/iio/devices/iio:device0/in_voltage0_raw; empty: it is not looked at."""
    battery_v_per_unit: Positive = 0.001
    """Volts for each unit of the number in `battery_file`."""
    battery_min_v: Positive = 12.2
    """Below this nothing is downloaded or installed."""
    ignition_file: str = ""
    """A file that holds `ignition_on` while the ignition is on, such as a GPIO's value in /sys; empty: not known."""
    ignition_on: str = "1"
    reboot: Literal["ignition-off", "parked", "never"] = "ignition-off"
    """When to start a new image by itself. In any case the next start of the board does it."""
    proof_s: Positive = 120.0
    """A new image must show so long that cameras and store live, besides the golden drive."""
    proof_p99_ms: Limit = 0.0
    """What a frame of the golden drive may take at most, 99th percentile."""
    proof_watts: Limit = 0.0
    """What the board may draw at most in the golden drive, mean."""
    watch_min: Positive = 10.0
    """So long new models are watched at work before they are kept."""
    trial_frames: Natural = 300
    """Live frames that new models read beside the old ones before they are used; 0: they are not tried beside."""
    trial_plates: Natural = 20
    """Plates that the old ones found in those frames, at least."""
    trial_same: Share = 0.8
    """Of the texts of plates that both found, so many must be the same."""


class Config(Section, frozen=True):
    """The whole file."""

    source: SourceConfig = SourceConfig()
    cameras: tuple[SourceConfig, ...] = ()
    """Further cameras, read in the same drive as `source`; at most three, each with a `camera_id` of its own."""
    models: ModelsConfig = ModelsConfig()
    detect: DetectConfig = DetectConfig()
    track: TrackConfig = TrackConfig()
    event: EventConfig = EventConfig()
    formats: FormatsConfig = FormatsConfig()
    store: StoreConfig = StoreConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    output: OutputConfig = OutputConfig()
    stills: StillsConfig = StillsConfig()
    learning: LearningConfig = LearningConfig()
    governor: GovernorConfig = GovernorConfig()
    hotlists: HotListsConfig = HotListsConfig()
    mqtt: MqttConfig = MqttConfig()
    webhooks: tuple[WebhookConfig, ...] = ()
    metrics: MetricsConfig = MetricsConfig()
    display: DisplayConfig = DisplayConfig()
    position: PositionConfig = PositionConfig()
    sound: SoundConfig = SoundConfig()
    buttons: ButtonsConfig = ButtonsConfig()
    update: UpdateConfig = UpdateConfig()

    def __post_init__(self) -> None:
        """Refuse cameras or webhooks that cannot be told apart. Raises `ConfigError`."""
        names = [source.camera_id for source in self.sources]
        if len(names) > MOST_CAMERAS:
            raise ConfigError(f"{len(names)} cameras; one drive reads at most {MOST_CAMERAS}")
        if twins := [name for name in names if names.count(name) > 1]:
            raise ConfigError(f"two cameras have the camera_id '{twins[0]}'; give each one of its own")
        hooks = [hook.name for hook in self.webhooks]
        if twins := [name for name in hooks if hooks.count(name) > 1]:
            raise ConfigError(f"two webhooks have the name '{twins[0]}'; give each one of its own")

    @property
    def sources(self) -> tuple[SourceConfig, ...]:
        """All cameras, the first one first."""
        return (self.source, *self.cameras)

    @property
    def device_id(self) -> str:
        """The configured id, else the host's name."""
        return self.store.device_id or socket.gethostname() or "edge-alpr"


def parse_config(text: str, origin: str = "configuration") -> Config:
    """Read a configuration from TOML text. Raises `ConfigError` naming the key and what is allowed."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers too long, and of values within values without end
        raise ConfigError(f"{origin}: not valid TOML: {error}") from error
    _refuse_unknown_keys(data, Config, origin, "")
    _refuse_endless(data, origin, "")
    try:
        return msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {_readable(str(error))}") from error
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error


def load_config(path: Path | None) -> Config:
    """Read the configuration file, or the defaults where `path` is None."""
    if path is None:
        return Config()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse_config(text, str(path))


def with_sources(config: Config, uris: Sequence[str]) -> Config:
    """A configuration with a camera for each URI. Those that it has keep their settings, new ones are `camera1` on."""
    known = config.sources[: len(uris)]
    new = [SourceConfig(camera_id=f"camera{place}") for place in range(len(known), len(uris))]
    first, *others = (msgspec.structs.replace(s, uri=uri) for s, uri in zip((*known, *new), uris, strict=True))
    return msgspec.structs.replace(config, source=first, cameras=tuple(others))


LIVE = ("event", "governor")
"""Sections that a running drive takes anew."""


def changed(before: Config, after: Config) -> tuple[list[str], list[str]]:
    """Sections that differ: those that a running drive takes anew, and those that wait for its next start."""
    differ = [name for name in Config.__struct_fields__ if getattr(before, name) != getattr(after, name)]
    return [name for name in differ if name in LIVE], [name for name in differ if name not in LIVE]


def format_config(config: Config) -> str:
    """The whole configuration as TOML, defaults included; `parse_config` reads it back."""
    return tomli_w.dumps(msgspec.to_builtins(config))


def _refuse_unknown_keys(data: dict[str, Any], kind: type[Section], origin: str, prefix: str) -> None:
    fields = {f.name: f.type for f in msgspec.structs.fields(kind)}
    for key, value in data.items():
        if key not in fields:
            known = ", ".join(fields)
            raise ConfigError(f"{origin}: unknown key '{prefix}{key}'; known here: {known}")
        inner = fields[key]
        if isinstance(value, list):
            inner = next(iter(get_args(inner)), None)  # what a tuple holds
        tables = [(f"[{n}]", v) for n, v in enumerate(value)] if isinstance(value, list) else [("", value)]
        for place, table in tables:
            if isinstance(inner, type) and issubclass(inner, Section) and isinstance(table, dict):
                _refuse_unknown_keys(table, inner, origin, f"{prefix}{key}{place}.")


def _refuse_endless(value: Any, origin: str, name: str) -> None:
    """TOML has numbers that are none, and infinite ones; no setting can be either."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{origin}: {name}: {value} is no number to work with; where 0 means no limit, set that")
    named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in named:
        place = f"[{key}]" if isinstance(value, list) else f".{key}"
        _refuse_endless(inner, origin, f"{name}{place}".removeprefix("."))


def _readable(message: str) -> str:
    """`Expected `int`, got `str` - at `$.a.b`` becomes `a.b: expected int, got str`."""
    what, _, where = message.partition(" - at ")
    what = what.replace("`", "").replace("object", "table")
    where = where.strip("`").removeprefix("$.")
    return f"{where}: {what[0].lower()}{what[1:]}" if where else what

"""Boards on made-up trees of /sys, /proc and /etc: what is told is read, what is not is None."""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_alpr.device import BoardReading, BoardWatch, open_board
from edge_alpr.device.host import processor, rss_mb
from edge_alpr.device.pc import Pc

INA = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"
MODES = "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n< PM_CONFIG DEFAULT=0 >\n"
NOTHING = BoardReading(None, None, None)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return root


def orin_nano() -> dict[str, str]:
    return {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3\n",
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
        f"{INA}/in1_label": "VDD_IN\n",
        f"{INA}/in1_input": "5000\n",
        f"{INA}/curr1_input": "1480\n",
        f"{INA}/in2_label": "VDD_CPU_GPU_CV\n",
        f"{INA}/in2_input": "5000\n",
        f"{INA}/curr2_input": "400\n",
        "sys/class/thermal/thermal_zone0/temp": "47687\n",
        "sys/class/thermal/thermal_zone1/temp": "48625\n",
        "sys/class/thermal/thermal_zone2/temp": "-256000\n",
        "etc/nvpmodel.conf": MODES,
        "var/lib/nvpmodel/status": "pmode:0002",
    }


def test_a_jetson_tells_its_whole_draw_its_hottest_zone_and_its_mode(tmp_path: Path) -> None:
    board = open_board(tree(tmp_path, orin_nano()))

    assert board.name == "NVIDIA Jetson Orin Nano Developer Kit"
    assert board.rail == "whole board (VDD_IN)"
    assert board.read() == BoardReading(pytest.approx(7.4), pytest.approx(48.625), "MAXN_SUPER")


@pytest.mark.parametrize(
    ("file", "content", "missing"),
    [
        (f"{INA}/in1_label", "VDD_GPU_SOC", "watts"),
        (f"{INA}/curr1_input", "", "watts"),
        ("var/lib/nvpmodel/status", "", "power_mode"),
        ("var/lib/nvpmodel/status", "pmode:0009", "power_mode"),
    ],
)
def test_a_jetson_does_not_guess(tmp_path: Path, file: str, content: str, missing: str) -> None:
    reading = open_board(tree(tmp_path, {**orin_nano(), file: content})).read()

    told = {name for name in ("watts", "celsius", "power_mode") if getattr(reading, name) is not None}
    assert told == {"watts", "celsius", "power_mode"} - {missing}


def test_a_zone_that_is_switched_off_is_no_temperature(tmp_path: Path) -> None:
    files = {name: text for name, text in orin_nano().items() if "thermal_zone2" in name or "thermal" not in name}

    assert open_board(tree(tmp_path, files)).read().celsius is None


def seconds(*stamps: float) -> Iterator[int]:
    return iter([round(stamp * 1e9) for stamp in stamps])


def test_a_pc_tells_the_processors_watts_since_the_read_before(tmp_path: Path) -> None:
    rapl = "sys/class/powercap/intel-rapl:0"
    files = {f"{rapl}/energy_uj": "9000000", f"{rapl}/max_energy_range_uj": "10000000"}
    part = {"sys/class/powercap/intel-rapl:0:0/energy_uj": "5"}
    stamps = seconds(0, 2, 4)
    board = Pc(tree(tmp_path, files | part), lambda: next(stamps))

    tree(tmp_path, {f"{rapl}/energy_uj": "9600000"})
    assert board.read().watts == pytest.approx(0.3)
    tree(tmp_path, {f"{rapl}/energy_uj": "400000"})  # the counter began anew
    assert board.read().watts == pytest.approx(0.4)
    assert board.rail == "processor (RAPL)"


def test_a_pc_knows_its_hottest_thermometer(tmp_path: Path) -> None:
    files = {
        "sys/class/thermal/thermal_zone0/temp": "41000",
        "sys/class/hwmon/hwmon0/name": "k10temp",
        "sys/class/hwmon/hwmon0/temp1_input": "63500",
        "sys/class/hwmon/hwmon1/name": "nvme",
        "sys/class/hwmon/hwmon1/temp1_input": "90000",
        "sys/class/dmi/id/product_name": "NUC",
    }
    board = open_board(tree(tmp_path, files))

    assert (board.name, board.rail) == ("NUC", "")
    assert board.read() == BoardReading(None, pytest.approx(63.5), None)


def test_an_empty_tree_tells_nothing(tmp_path: Path) -> None:
    board = open_board(tmp_path)

    assert (board.name, board.rail, board.read()) == ("PC", "", NOTHING)


def test_this_machine_can_be_read() -> None:
    board = open_board()

    assert board.name
    board.read()


def test_the_processor_its_governor_and_its_turbo(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu"
    files = {
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n",
        f"{cpu}/cpu0/cpufreq/scaling_governor": "powersave\n",
        f"{cpu}/cpu1/cpufreq/scaling_governor": "performance\n",
        f"{cpu}/intel_pstate/no_turbo": "0\n",
    }
    told = processor(tree(tmp_path, files))

    assert (told.model, told.governor, told.turbo) == ("AMD EPYC", "performance, powersave", True)
    untold = processor(tmp_path / "empty")
    assert (untold.governor, untold.turbo) == (None, None)


TRIPS = {
    "sys/class/thermal/thermal_zone0/trip_point_0_type": "active\n",
    "sys/class/thermal/thermal_zone0/trip_point_0_temp": "85000\n",
    "sys/class/thermal/thermal_zone0/trip_point_1_type": "passive\n",
    "sys/class/thermal/thermal_zone0/trip_point_1_temp": "99000\n",
    "sys/class/thermal/thermal_zone1/trip_point_0_type": "passive\n",
    "sys/class/thermal/thermal_zone1/trip_point_0_temp": "0\n",
    "sys/class/thermal/thermal_zone1/trip_point_2_type": "critical\n",
    "sys/class/thermal/thermal_zone1/trip_point_2_temp": "97500\n",
}


def test_a_board_slows_itself_down_at_its_passive_trip_point(tmp_path: Path) -> None:
    assert open_board(tree(tmp_path / "jetson", orin_nano() | TRIPS)).throttles_c == 99
    assert open_board(tree(tmp_path / "pc", TRIPS)).throttles_c == 99


def test_where_no_trip_point_is_told_a_jetson_is_taken_to_be_careful_and_a_pc_is_left_alone(tmp_path: Path) -> None:
    assert open_board(tree(tmp_path / "jetson", orin_nano())).throttles_c == 95
    assert open_board(tmp_path).throttles_c is None


def test_a_watch_tells_the_newest_reading_until_the_board_answers_no_more() -> None:
    """The third reading hangs, as a sensor on a stuck bus does."""
    stuck, heard, asked = threading.Event(), [], []

    def read() -> BoardReading:
        asked.append(threading.current_thread().name)
        if len(asked) == 3:
            stuck.wait(5)
        return BoardReading(celsius=float(len(asked)))

    watch = BoardWatch(read, 0.05, heard.append)
    assert watch.latest() == NOTHING
    watch.start()
    deadline = time.monotonic() + 5
    while len(asked) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert watch.latest() == BoardReading(celsius=2.0) == heard[-1]
    time.sleep(0.3)
    assert watch.latest() == NOTHING, "what is old is not told"
    stuck.set()
    watch.stop()
    assert set(asked) == {"board"} and len(heard) == len(asked) >= 3, "it ends with a last reading"
    watch.stop()


def test_resident_memory_is_told_in_megabytes() -> None:
    before = rss_mb()
    with mmap.mmap(-1, 50_000_000) as block:  # from the system: the heap may have as much lying free
        block.write(b"x" * 50_000_000)
        after = rss_mb()
    assert before is not None and after is not None and 40 < after - before < 110

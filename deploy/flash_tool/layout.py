"""Our partition table, made from NVIDIA's own for two root file systems: its slots sized, `data` added behind them.

NVIDIA's file is not ours to copy, so the table is made at the bench from the one in the BSP folder. What is kept: the
boot loader's, kernel, recovery and EFI partitions, UDA (NVIDIA's, not ours to use), and APP as partition 1, APP_b as 2.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flash_tool.boards import Medium
from flash_tool.problems import Problem, problem
from flash_tool.sizes import told

ALIGN = 16384
"""Bytes; NVIDIA's `align_boundary` of the slots."""
DATA = "data"
"""The data partition's name: /dev/disk/by-partlabel/data on the device."""
LEAST_DATA = 4 << 30
_SLOTS = ("APP", "APP_b")
_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
_KEYWORDS = {"RECSIZE": 83886080, "APPSIZE": 0}
"""Sizes that NVIDIA's tool fills in [HDR]; RECSIZE is 80 MiB in r36."""
_UNNUMBERED = {"protective_master_boot_record", "primary_gpt", "secondary_gpt"}


@dataclass(frozen=True, slots=True)
class Layout:
    """What the table shall be like; bytes."""

    medium: Medium
    slot_bytes: int
    disk_bytes: int


class TemplateError(Exception):
    """NVIDIA's table lacks something; the message says what."""


def _device(root: ET.Element, medium: Medium) -> ET.Element:
    for device in root.iter("device"):
        if device.get("type") == medium.device:
            return device
    raise TemplateError(f"<device type={medium.device!r}>")


def _partition(device: ET.Element, name: str) -> ET.Element:
    for partition in device.iter("partition"):
        if partition.get("name") == name:
            return partition
    raise TemplateError(f"partition {name}")


def _set(partition: ET.Element, tag: str, text: str) -> None:
    found = partition.find(tag)
    element = ET.SubElement(partition, tag) if found is None else found
    element.text = f" {text} "


def _numbers(device: ET.Element) -> Iterator[int]:
    """The number of each partition: its `id`, else one more than the one before it."""
    number = 0
    for partition in device.iter("partition"):
        if partition.get("type") in _UNNUMBERED:
            continue
        number = int(partition.get("id") or number + 1)
        yield number


def _data(number: int) -> ET.Element:
    """The data partition. No image: what is on it outlives another flashing of the same table; first boot formats."""
    data = ET.Element("partition", {"name": DATA, "id": str(number), "type": "data"})
    for tag, text in (
        ("allocation_policy", "sequential"), ("filesystem_type", "basic"), ("size", str(LEAST_DATA)),
        ("file_system_attribute", "0"),
        ("allocation_attribute", "0x808"),  # 0x800: grown to the end of the disk [DOC]
        ("align_boundary", str(ALIGN)), ("percent_reserved", "0"), ("partition_type_guid", _LINUX),
        ("description", "Events, lists, keys and models: what updates of the root file system leave alone."),
    ):  # fmt: skip
        ET.SubElement(data, tag).text = f" {text} "
    return data


def make_table(template: Path, layout: Layout) -> str:
    """The table as NVIDIA's tool reads it.

    Raises:
        TemplateError: NVIDIA's table is not as those of r36 and r39.
        OSError, ET.ParseError: it cannot be read.
    """
    root = ET.parse(template).getroot()
    device = _device(root, layout.medium)
    for name in _SLOTS:
        slot = _partition(device, name)
        _set(slot, "size", str(layout.slot_bytes))
        _set(slot, "allocation_attribute", "0x8")  # of fixed size: bundles must fit in either
    end = _partition(device, "secondary_gpt")
    device.insert(list(device).index(end), _data(max(_numbers(device)) + 1))
    device.set("num_sectors", str(layout.disk_bytes // int(device.get("sector_size", "512"))))
    ET.indent(root, "    ")
    note = f"<!-- Made by deploy/flash from {layout.medium.template}; what is NVIDIA's in it stays so. -->\n"
    return f'<?xml version="1.0"?>\n{note}{ET.tostring(root, encoding="unicode")}\n'


def _size(partition: ET.Element) -> int:
    """Bytes, rounded up to what it is aligned to; 0 for the table at the end and what NVIDIA fills in with nothing."""
    text = (partition.findtext("size") or "0").strip()
    if partition.get("type") == "secondary_gpt":
        return 0
    size = _KEYWORDS[text] if text in _KEYWORDS else int(text, 0)
    return -(-size // ALIGN) * ALIGN


def taken(table: str, medium: Medium) -> int:
    """Bytes of the disk that the table's partitions take, the copy of the table at the end among them."""
    device = _device(ET.fromstring(table), medium)
    return sum(_size(partition) for partition in device.iter("partition")) + (1 << 20)


def partitions(table: str, medium: Medium) -> dict[str, tuple[int, int]]:
    """Name -> (number on the disk, bytes), in the order on the disk."""
    device = _device(ET.fromstring(table), medium)
    named = [partition for partition in device.iter("partition") if partition.get("type") not in _UNNUMBERED]
    return {
        partition.get("name", ""): (number, _size(partition))
        for number, partition in zip(_numbers(device), named, strict=True)
    }


def layout_problems(template: Path, layout: Layout) -> list[Problem]:
    """What keeps the table from being made, or from fitting on the disk."""
    if layout.slot_bytes <= 0 or layout.slot_bytes % ALIGN:
        return [problem("bad-slot", slot=told(layout.slot_bytes))]
    try:
        needs = taken(make_table(template, layout), layout.medium)
    except TemplateError as error:
        return [problem("bad-template", template=template, what=error)]
    except (OSError, ET.ParseError, ValueError) as error:
        return [problem("bad-template", template=template, what=f"partitions that can be read ({error})")]
    if needs <= layout.disk_bytes:
        return []
    slot, least, disk = told(layout.slot_bytes), told(LEAST_DATA), told(layout.disk_bytes)
    return [problem("disk-too-small", slot=slot, least=least, needs=told(needs), disk=disk)]

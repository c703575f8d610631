"""Documents as JSON."""

from __future__ import annotations

import json
from typing import Any

from tests.golden_files import FOLDER
from tests.render.machines import laptop, workstation
from vfioctl.errors import RefusedError
from vfioctl.render.device_document import device_document, device_texts
from vfioctl.render.document import Encoded, document, document_text, error_document, scan_document
from vfioctl.render.group_document import groups_document
from vfioctl.sysfs.names import Names

NAMES = Names((FOLDER / "pci.ids").read_bytes())

DEVICE_KEYS = [
    *(
        "address",
        "vendor_id",
        "device_id",
        "subsystem_vendor_id",
        "subsystem_device_id",
        "class_code",
        "revision",
    ),
    *(
        "vendor_name",
        "device_name",
        "class_name",
        "driver",
        "driver_override",
        "iommu_group",
        "numa_node",
        "header",
    ),
    *("parent", "sriov", "reset_methods", "power_state", "boot_vga", "physical_slot", "mdev_types"),
    *(
        "net_interfaces",
        "block_devices",
        "vfio_group_node",
        "vfio_cdev",
        "alive",
        "usage",
        "assignable",
        "reasons",
    ),
]
"""DEVICE of the product contract, in its order."""


def parsed(value: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return a document as its reader gets it."""
    return json.loads(document_text(value))


def test_a_device_has_every_key_in_the_promised_order() -> None:
    """Whatever is unknown is null, never missing."""
    machine = workstation()

    for device in machine.devices:
        assert list(device_document(machine, device, NAMES)) == DEVICE_KEYS


def test_a_device_says_what_the_value_says() -> None:
    """The GPU of the workstation, key by key."""
    machine = workstation()
    gpu = device_document(machine, machine.by_address[machine.devices[3].address], NAMES)

    assert gpu == {
        "address": "0000:01:00.0",
        "vendor_id": "10de",
        "device_id": "2204",
        "subsystem_vendor_id": "1043",
        "subsystem_device_id": "87d9",
        "class_code": "030000",
        "revision": "01",
        "vendor_name": "NVIDIA Corporation",
        "device_name": "GA102 [GeForce RTX 3090]",
        "class_name": "VGA compatible controller",
        "driver": "nvidia",
        "driver_override": None,
        "iommu_group": 0,
        "numa_node": None,
        "header": "endpoint",
        "parent": "0000:00:01.0",
        "sriov": None,
        "reset_methods": ["flr", "bus"],
        "power_state": "D0",
        "boot_vga": True,
        "physical_slot": None,
        "mdev_types": [],
        "net_interfaces": [],
        "block_devices": [],
        "vfio_group_node": None,
        "vfio_cdev": None,
        "alive": True,
        "usage": [
            {"kind": "console", "detail": "it is the display the firmware started on (boot VGA)"},
            {"kind": "process", "detail": "Xorg (pid 812) has /dev/dri/card0 open"},
        ],
        "assignable": True,
        "reasons": [],
    }


def test_both_roles_of_sriov_are_told() -> None:
    """The physical function lists the virtual ones, each of which names it."""
    machine = workstation()
    documents = {
        one["address"]: one for one in (device_document(machine, device, NAMES) for device in machine.devices)
    }

    assert documents["0000:02:00.0"]["sriov"] == {
        "role": "physical",
        "total_vfs": 63,
        "num_vfs": 2,
        "virtual_functions": ["0000:02:10.0", "0000:02:10.2"],
    }
    assert documents["0000:02:10.2"]["sriov"] == {
        "role": "virtual",
        "physical_function": "0000:02:00.0",
        "index": 1,
    }
    assert documents["0000:02:00.0"]["assignable"] is False
    assert documents["0000:02:00.0"]["reasons"] != []


def test_true_and_1_are_told_apart() -> None:
    """They are equal, and what was encoded once is used again."""
    machine = workstation()
    first = machine.devices[0]._replace(boot_vga=True, alive=True)

    text = next(device_texts(machine, (first._replace(numa_node=1, power_state=None),), NAMES))

    assert '"boot_vga": true' in text
    assert '"numa_node": 1,' in text


def test_the_scan_describes_the_host_and_what_could_not_be_read() -> None:
    """Unknown is not absent."""
    machine = laptop()

    scan = parsed(scan_document(machine, device_texts(machine, machine.devices, NAMES)))

    assert list(scan) == ["schema", "kind", "host", "devices", "unreadable"]
    assert (scan["schema"], scan["kind"]) == (1, "scan")
    assert scan["host"] == {"kernel": "6.12.0", "iommu": False, "groups": 0}
    assert [device["address"] for device in scan["devices"]] == ["0000:00:02.0", "0000:00:14.3"]
    assert scan["unreadable"] == [
        {
            "path": "/sys/bus/pci/devices/0000:00:02.0/config",
            "reason": "permission denied",
            "address": "0000:00:02.0",
            "field": "express",
        }
    ]


def test_groups_have_every_key_in_the_promised_order() -> None:
    """Lists are there even where they are empty."""
    machine = workstation()

    groups = parsed(groups_document(machine, machine.groups))

    assert list(groups) == ["schema", "kind", "groups"]
    assert list(groups["groups"][0]) == [
        *("id", "type", "members", "viable", "blockers", "bind", "viable_after_bind", "losses"),
        *("together_because", "reserved_regions"),
    ]
    assert groups["groups"][0]["bind"] == ["0000:01:00.0", "0000:01:00.1"]
    assert [blocker["driver"] for blocker in groups["groups"][0]["blockers"]] == ["nvidia", "snd_hda_intel"]
    assert groups["groups"][3]["viable"] is True
    assert groups["groups"][8]["viable_after_bind"] is False
    assert groups["groups"][0]["reserved_regions"] == [
        {"start": "0x00000000fee00000", "end": "0x00000000feefffff", "type": "msi"}
    ]


def test_a_list_of_objects_has_one_per_line() -> None:
    """Encoded already or not."""
    text = document_text(document("x", some=[{"a": 1}, {"a": 2}], more=Encoded(['{"b": 1}']), none=Encoded()))

    assert text == (
        '{"schema": 1, "kind": "x", "some": [\n{"a": 1},\n{"a": 2}\n], "more": [\n{"b": 1}\n], "none": []}'
    )


def test_no_control_character_leaves_unescaped() -> None:
    """DEL included, which JSON would let through."""
    text = document_text(document("x", name="\x00\x1b\x7f\x9b\udcff"))

    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["name"] == "\x00\x1b\x7f\x9b\udcff"


def test_an_error_is_a_document() -> None:
    """With both parts, and the exit code by name and number."""
    assert error_document(RefusedError("no", hint="do")) == {
        "schema": 1,
        "kind": "error",
        "code": "refused",
        "exit_code": 4,
        "message": "no",
        "hint": "do",
    }

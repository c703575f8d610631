"""A VM of libvirt's becomes a Pod, a kubelet admits it, and its container is told the VM's own devices."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from lxml import etree

from tests.plugin.kubelet.pods import pod
from tests.plugin.serving_host import serving_host
from vfioctl.export.yaml_source import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.cli.conftest import Ask
    from vfioctl.model.host import Host
    from vfioctl.plugin.api.deviceplugin_pb2 import ContainerAllocateResponse


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose path leaves room for sockets."""
    return tmp_path_factory.mktemp("k")


def written(domain: str) -> list[str]:
    """Return the addresses of a domain's host devices that its guest sees, from the bare XML."""
    hostdevs = etree.fromstring(domain).iter("hostdev")
    sources = [
        one.find("source/address") for one in hostdevs if one.find("address[@type='unassigned']") is None
    ]
    return sorted(
        "{:04x}:{:02x}:{:02x}.{:x}".format(
            *(int(source.get(key, ""), 16) for key in ("domain", "bus", "slot", "function"))
        )
        for source in sources
        if source is not None
    )


def resources(addresses: Iterable[str], unit: str) -> str:
    """Return a configuration with a resource for each device, or for each card, that a VM has."""
    selects = dict.fromkeys(address.partition(".")[0] if unit == "slot" else address for address in addresses)
    return "".join(
        f'[[resource]]\nname = "foo.com/{number}"\nselect = ["{select}"]\nunit = "{unit}"\n'
        'env = ["kubevirt", "json"]\n'
        for number, select in enumerate(selects)
    )


def asked(text: str) -> dict[str, int]:
    """Return the devices that a printed Pod asks for."""
    (made,) = read_yaml(text.encode(), "pod")
    (container,) = made["spec"]["containers"]
    return {name: int(count) for name, count in container["resources"]["limits"].items() if "/" in name}


def told(answers: dict[str, ContainerAllocateResponse]) -> tuple[list[str], list[str]]:
    """Return the addresses in the variables for KubeVirt, and those of all functions in the JSON ones."""
    first: list[str] = []
    every: list[str] = []
    for answer in answers.values():
        for name, value in answer.envs.items():
            if name.startswith("PCI_RESOURCE_"):
                first += value.split(",")
            else:
                every += [address for one in json.loads(value) for address in one["addresses"]]
    return sorted(first), sorted(every)


@pytest.mark.parametrize(
    ("name", "words", "unit"),
    [
        ("sample", ["02:00", "05:02.2"], "device"),
        ("sample", ["02:00"], "slot"),
        ("server", ["17:01.1", "98:00.0"], "device"),
        ("lab-6.12-cdev", ["driver:vfio-pci"], "device"),
    ],
    ids=["devices", "card", "nodes", "cdev"],
)
def test_a_vm_gets_its_own_devices_in_a_pod(
    name: str,
    words: list[str],
    unit: str,
    ask: Ask,
    sample_host: Callable[[str], Host],
    place: Path,
) -> None:
    """libvirt-xml, pod-spec, Register, ListAndWatch, Allocate, environment: the same addresses."""
    devices = ask("libvirt-xml", *words, host=name)
    assert devices.code == 0, devices.err
    domain = f"<domain><name>web1</name><memory>1048576</memory><devices>{devices.out}</devices></domain>"
    addresses = written(domain)
    (place / "web1.xml").write_text(domain)
    text = resources(addresses, unit)
    (place / "plugin.toml").write_text(text)

    spec = ask(
        "pod-spec", "--domain", str(place / "web1.xml"), "--config", str(place / "plugin.toml"), host=name
    )

    async def run() -> dict[str, ContainerAllocateResponse]:
        async with serving_host(place, sample_host(name), text) as stage:
            return await stage.answers(pod("web1", asked(spec.out)))

    first, every = told(asyncio.run(run()))
    assert spec.code == 0, spec.err
    assert len(addresses) >= len(words)
    assert every == addresses
    assert first == (addresses if unit == "device" else addresses[:1])

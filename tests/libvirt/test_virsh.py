"""libvirt itself: its test driver, and its QEMU driver inside virsh, without a daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest
from lxml import etree

from tests.libvirt.domains import MINIMAL
from tests.libvirt.shapes import CASES, Case
from tests.model.factory import at, make_device, make_host
from vfioctl.libvirt.compose import Shape, pci_entries, sibling_entries
from vfioctl.libvirt.devices import build, read
from vfioctl.libvirt.insertion import inserted
from vfioctl.libvirt.installed import installed_version
from vfioctl.libvirt.judge import Judge
from vfioctl.libvirt.schema import load_schema
from vfioctl.libvirt.settings import NO_SETTINGS
from vfioctl.libvirt.source import parse_source
from vfioctl.libvirt.text import comment, lines
from vfioctl.libvirt.values import GuestAddress, MdevHostdev, PciHostdev, VfInterface
from vfioctl.libvirt.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vfioctl.libvirt.values import Device

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("virsh") is None, reason="virsh is not installed (package libvirt-clients)"
    ),
]
QEMU = "/usr/bin/qemu-system-x86_64"
NOBODY = "65534"
DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>512</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>{qemu}</emulator>
    <graphics type='vnc'/>
    <interface type='user'>
      <model type='virtio'/><teaming type='persistent'/><alias name='ua-backup0'/>
    </interface>
{devices}
  </devices>
</domain>
"""


def installed(case: Case) -> bool:
    """Tell whether the installed libvirt has what a case asks for."""
    return (installed_version() or Version(0, 0)) >= case.since


def for_this_qemu(case: Case) -> bool:
    """Tell whether a PC can have it: channel and crypto cards are for mainframes."""
    return not (isinstance(case.device, MdevHostdev) and case.device.model != "vfio-pci")


def write(folder: Path, name: str, devices: Sequence[Device]) -> Path:
    """Write a domain with these devices."""
    text = "\n".join(
        line for device in devices for line in (comment(f"{name} -- <&>"), *lines(build(device)))
    )
    path = folder / f"{name}.xml"
    path.write_text(DOMAIN.format(name=name, qemu=QEMU, devices=text))
    return path


class Virsh:
    """virsh on one connection."""

    def __init__(self, uri: str, before: Sequence[str] = ()) -> None:
        """Keep where it connects to, and what runs it as somebody else."""
        self.command = [*before, "virsh", "--quiet", "--connect", uri]

    def __call__(self, script: str) -> str:
        """Run commands in one session and return what it prints; what it refuses fails the test."""
        ended = subprocess.run(
            [*self.command, script],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def defined(self, path: Path) -> etree._Element:
        """Define a domain, validated, and return what libvirt made of it."""
        name = path.stem
        text = self(f"define {path} --validate; dumpxml {name} --inactive; undefine {name}")
        return etree.fromstring(text[text.index("<domain") : text.index("</domain>") + len("</domain>")])


def kept(device: Device, *, qemu: bool = False) -> Device:
    """Return what libvirt is expected to hand back: what is left out is said as it took it."""
    if isinstance(device, PciHostdev | VfInterface) and device.managed is None:
        return device._replace(managed=False)
    if isinstance(device, MdevHostdev) and device.display is None and qemu:
        return device._replace(display=False)
    return device


def given(domain: etree._Element, device: Device) -> Device:
    """Return the device that a domain has, without an address that libvirt chose."""
    found = [one for node in domain.iterfind("devices/*") if (one := read(node)) is not None]
    assert len(found) == 1
    one = found[0]
    info = one.info
    if device.info.guest is None and isinstance(info.guest, GuestAddress):
        info = info._replace(guest=None)
    if isinstance(device, VfInterface) and isinstance(one, VfInterface) and device.mac is None:
        one = one._replace(mac=None)
    return one._replace(info=info)


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_the_qemu_driver_defines_what_became_of_a_file(
    machine: str, qemu_driver: Virsh, tmp_path: Path
) -> None:
    """A card in a slot that was found free, its unseen sibling, and a disk: with a machine of either kind."""
    gpu, audio, other, nvme = (at(f"0000:0{bus}") for bus in ("1:00.0", "1:00.1", "1:00.2", "3:00.0"))
    group = [make_device(str(one), iommu_group=1, driver="vfio-pci") for one in (gpu, audio, other)]
    host = make_host(*group, make_device(str(nvme), iommu_group=2, class_code=0x010802, driver="vfio-pci"))
    entries = [
        *pci_entries([(gpu, f"{gpu} card"), (audio, f"{audio} card")], NO_SETTINGS),
        *sibling_entries([(other, f"{other} port")], NO_SETTINGS),
        *pci_entries([(nvme, f"{nvme} disk")], NO_SETTINGS, Shape(namespace=1)),
    ]
    text = MINIMAL.replace("q35", machine)
    schema, release = load_schema(), installed_version()
    judge = Judge(release or Version(9, 0), schema, release)
    folder = readable(tmp_path)
    path = folder / "web1.xml"
    path.write_bytes(inserted(parse_source(str(path), text.encode()), entries, host, judge).content)
    try:
        domain = qemu_driver.defined(path)
    finally:
        shutil.rmtree(folder)

    places = [node.find("address") for node in domain.iterfind("devices/hostdev")]
    assert [None if one is None else (one.get("function"), one.get("multifunction")) for one in places] == [
        ("0x0", "on"), ("0x1", None), (None, None),
    ]  # fmt: skip
    assert len({one.get("bus") for one in places[:2] if one is not None}) == 1


ACCEPTED = [case for case in CASES if installed(case)]


@pytest.fixture(scope="module")
def test_driver() -> Virsh:
    """Return virsh on the driver that is for tests: nothing outside of it happens."""
    return Virsh("test:///default")


@pytest.fixture(scope="module")
def qemu_driver() -> Iterator[Virsh]:
    """Return virsh with the real QEMU driver inside it, in a folder of its own: there is no daemon."""
    if not os.access(QEMU, os.X_OK):
        pytest.skip(f"there is no {QEMU} (package qemu-system-x86)")
    root = os.geteuid() == 0
    if root and shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed (package util-linux)")
    # As root the driver would want a user of its own to exist, and that user must reach the folder.
    folder = tempfile.mkdtemp(prefix="vfioctl-qemu-", dir="/dev/shm")
    os.mkdir(f"{folder}/etc")
    with open(f"{folder}/etc/qemu.conf", "w", encoding="ascii") as file:
        file.write('stdio_handler = "file"\nsecurity_driver = "none"\n')
    places = {"HOME": folder, **{f"XDG_{kind}_HOME": folder for kind in ("CACHE", "CONFIG", "DATA")}}
    before = ["env", *(f"{name}={value}" for name, value in places.items()), f"XDG_RUNTIME_DIR={folder}"]
    if root:
        for path in (folder, f"{folder}/etc"):
            os.chown(path, int(NOBODY), int(NOBODY))
        before = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", *before]
    virsh = Virsh(f"qemu:///embed?root={folder}", before)
    probe = subprocess.run(
        [*virsh.command, "version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    if probe.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip("libvirt's QEMU driver does not start here (package libvirt-daemon-driver-qemu)")
    yield virsh
    shutil.rmtree(folder, ignore_errors=True)


def readable(folder: Path) -> Path:
    """Return a folder that another user can read."""
    made = tempfile.mkdtemp(prefix="vfioctl-xml-", dir="/dev/shm" if os.geteuid() == 0 else folder)
    os.chmod(made, 0o755)  # noqa: S103 - for the other user
    return type(folder)(made)


@pytest.mark.parametrize("case", ACCEPTED, ids=[case.name for case in ACCEPTED])
def test_the_test_driver_defines_each_shape(case: Case, test_driver: Virsh, tmp_path: Path) -> None:
    """And hands back what it was given."""
    path = write(tmp_path, case.name.replace(" ", "-"), [case.device])

    assert given(test_driver.defined(path), case.device) == kept(case.device)


@pytest.mark.parametrize(
    "case", [case for case in ACCEPTED if for_this_qemu(case)], ids=lambda case: case.name
)
def test_the_qemu_driver_defines_each_shape(case: Case, qemu_driver: Virsh, tmp_path: Path) -> None:
    """Validated by schema and by the driver's own rules; what it prints is what we print."""
    folder = readable(tmp_path)
    try:
        domain = qemu_driver.defined(write(folder, case.name.replace(" ", "-"), [case.device]))
    finally:
        shutil.rmtree(folder)

    assert given(domain, case.device) == kept(case.device, qemu=True)
    if isinstance(case.device, PciHostdev) and case.device.managed is not None:
        node = domain.find("devices/hostdev")
        assert node is not None
        if case.device.info.guest is None:
            node.remove(node.findall("address")[0])
        assert list(lines(node)) == list(lines(build(case.device)))

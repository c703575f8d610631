"""libvirt inside the guest: its daemon, started by hand, and virsh as an administrator types it."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab.guest import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree

CONFIGURATION: Final = {
    "libvirtd.conf": 'auth_unix_ro = "none"\nauth_unix_rw = "none"\n',
    "qemu.conf": 'security_driver = "none"\ncgroup_controllers = []\nstdio_handler = "file"\n',
}
"""Without polkit, AppArmor, control groups and virtlogd, which the guest has not; else as on any host."""
USER: Final = "libvirt-qemu"
"""Whom libvirt lets QEMU run as; the scripts of its package, none of which ran here, make it."""
LOG: Final = Path("/run/libvirtd.log")
STARTED: Final = 120.0
"""Seconds in which the daemon answers; one or two, emulated."""
VIRSH_DEADLINE: Final = 60.0
DOMAIN: Final = """\
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
"""
"""The smallest machine with PCI Express; nothing runs in it, since it is started paused."""


class Virsh:
    """virsh, connected to the daemon in the guest."""

    def __init__(self, folder: Path) -> None:
        """Keep where the files of domains are."""
        self.folder = folder

    def tried(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever comes of it."""
        command = ["virsh", "--quiet", "--connect", "qemu:///system", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=VIRSH_DEADLINE)

    def __call__(self, *words: str) -> str:
        """Run a command that must succeed, and give what it printed."""
        done = self.tried(*words)
        assert done.returncode == 0, (words, done.stderr, LOG.read_text(errors="replace")[-2000:])
        return done.stdout

    def refused(self, *words: str) -> str:
        """Run a command that must fail, and give what libvirt says."""
        done = self.tried(*words)
        assert done.returncode != 0, (words, done.stdout)
        return done.stderr

    def file(self, name: str) -> Path:
        """Write a domain without host devices."""
        path = self.folder / f"{name}.xml"
        path.write_text(DOMAIN.format(name=name), encoding="utf-8")
        return path

    def start(self, path: Path) -> None:
        """Define the domain of a file, held against libvirt's schema, and start it."""
        self("define", str(path), "--validate")
        self("start", path.stem, "--paused")

    def devices(self, name: str) -> list[etree._Element]:
        """Give the host devices of a running domain as libvirt prints them."""
        return host_devices(self("dumpxml", name))

    def pid(self, name: str) -> int:
        """Give the process of a running domain."""
        return int(Path(f"/run/libvirt/qemu/{name}.pid").read_text(encoding="ascii"))

    def end_all(self) -> None:
        """End and forget the domains whose files were written."""
        for path in self.folder.glob("*.xml"):
            self.tried("destroy", path.stem)
            self.tried("undefine", path.stem)


@contextmanager
def daemon(folder: Path) -> Iterator[Virsh]:
    """Have libvirtd run until the end; it finds its configuration and leaves its sockets as everywhere."""
    _prepare()
    virsh = Virsh(folder)
    Path("/run/libvirt/libvirt-sock").unlink(missing_ok=True)
    with LOG.open("wb") as log, subprocess.Popen(["libvirtd"], stdout=log, stderr=log) as process:
        try:
            answers = Path("/run/libvirt/libvirt-sock").exists
            kernel.wait_until(lambda: process.poll() is not None or answers(), "libvirtd", STARTED)
            virsh("list")
            yield virsh
        finally:
            process.terminate()
            process.wait(timeout=30)


def _prepare() -> None:
    """Do what Debian's packages and its boot do: configuration, users, /var/run, and /dev/vfio/vfio.

    That node is there from the boot on where systemd makes it; without it libvirt says that the host cannot
    pass anything through, and does not load the modules that would make it.
    """
    kernel.modprobe("vfio-pci", "vfio_iommu_type1")
    settings = Path("/etc/libvirt")
    settings.mkdir(parents=True, exist_ok=True)
    for name, text in CONFIGURATION.items():
        (settings / name).write_text(text, encoding="ascii")
    for path, line in {
        "/etc/passwd": f"{USER}:x:64055:64055::/nonexistent:/usr/sbin/nologin\n",
        "/etc/group": f"{USER}:x:64055:\nkvm:x:104:\n",
    }.items():
        with Path(path).open("r+", encoding="ascii") as file:
            if USER not in file.read():
                file.write(line)
    run = Path("/var/run")
    if not run.is_symlink():
        run.rmdir()
        run.symlink_to("/run")


def host_devices(text: str) -> list[etree._Element]:
    """Give the host devices of a domain's XML."""
    from lxml import etree  # of use on one machine only

    found = etree.fromstring(text).iterfind("devices/*")
    return [one for one in found if one.tag == "hostdev" or one.get("type") == "hostdev"]


def lacking(wanted: etree._Element, there: etree._Element) -> list[str]:
    """Name what of an element is not in another one, which may say more."""
    tag = str(wanted.tag)
    missing = [f"{tag} {key}={value}" for key, value in wanted.items() if there.get(key) != value]
    for child in wanted:
        beside = [lacking(child, other) for other in there.findall(str(child.tag))]
        missing += min((len(one), one) for one in beside)[1] if beside else [f"{tag}/{child.tag!s}"]
    return missing

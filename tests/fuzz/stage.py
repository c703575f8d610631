"""What targets share: a host to hold inputs against, and the program called in this process."""

from __future__ import annotations

import io
import os
import unicodedata
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

from tests.support.fixtures import dump_path
from tests.support.tree import HostTree
from vfioctl.cli import main as boundary
from vfioctl.cli.session import Session
from vfioctl.errors import VfioctlError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vfioctl.model.host import Host

_STEERING = frozenset({"Cc", "Cs", "Zl", "Zp"})
_REORDERING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def sample(name: str = "sample") -> Host:
    """Read a sample host."""
    session = Session()
    session.root = dump_path(name)
    return session.host()


def small_host(base: Path) -> None:
    """Build a host with a bit of everything that is read in a few milliseconds."""
    tree = HostTree(base)
    tree.bridge("0000:00:01.0", 1, group=1).bridge("0000:00:02.0", 2, group=2)
    tree.device("0000:01:00.0", parent="0000:00:01.0", driver="e1000e", group=3, numa=0).slot(
        "7", "0000:01:00"
    )
    tree.device("0000:01:10.0", virtual_function=True, parent="0000:00:01.0", driver="igbvf", group=5)
    tree.virtual_functions("0000:01:00.0", 7, ["0000:01:10.0"])
    tree.net("enp1s0", "0000:01:00.0").network({"enp1s0": ["192.0.2.7/24"]}, default="enp1s0")
    tree.device(
        "0000:02:00.0",
        "10de:2204",
        0x030000,
        parent="0000:00:02.0",
        driver="vfio-pci",
        group=4,
        boot_vga=True,
    )
    tree.vfio("0000:02:00.0").drm("0000:02:00.0", 0, 128)
    tree.device("0000:02:00.1", "10de:1aef", 0x010802, parent="0000:00:02.0", driver="nvme", group=4)
    tree.block("nvme0n1", "259:0", tree.path("0000:02:00.1")).mounts(("259:0", "/", "ext4", "/dev/nvme0n1"))
    tree.swaps("/dev/nvme0n1").process(42, ["qemu", "-name", "guest=a"], {3: "/dev/vfio/4"})
    for path, text in {
        "/proc/cmdline": "intel_iommu=on vfio-pci.ids=10de:2204",
        "/proc/modules": "vfio_pci 1 0 - Live 0x0",
        "/etc/modprobe.d/vfio.conf": "options vfio-pci ids=10de:2204\nsoftdep nvidia pre: vfio-pci\n",
        "/run/vfioctl/journal": '{"schema": 1, "command": "bind", "started": "x", "pid": 1}',
        "/etc/vfioctl/devices.d/0000:02:00.0.toml": (
            'address = "0000:02:00.0"\ndriver = "vfio-pci"\nclass = "030000"\n'
            'vendor = "10de"\ndevice = "2204"'
        ),
    }.items():
        tree.file(path, f"{text}\n")


def call(arguments: Sequence[str]) -> tuple[str, str]:
    """Run a command line as the program does; return what it said, raise what it did not expect."""
    out, err = (
        io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True) for _ in range(2)
    )
    usual = boundary.as_vfioctl_error
    boundary.as_vfioctl_error = _only_ours
    try:
        with redirect_stdout(out), redirect_stderr(err):
            boundary.run(arguments)
    finally:
        boundary.as_vfioctl_error = usual
    return _text(out), _text(err)


def _only_ours(problem: Exception) -> VfioctlError:
    if isinstance(problem, VfioctlError):
        return problem
    raise problem


def _text(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


def check_visible(text: str) -> None:
    """Fail on what would steer a terminal, reorder what stands around it, or begin another line."""
    odd = {
        letter
        for letter in text
        if letter != "\n"
        and not letter.isprintable()
        and (unicodedata.category(letter) in _STEERING or unicodedata.bidirectional(letter) in _REORDERING)
    }
    assert not odd, f"reached the terminal raw: {odd!r}"


def words(data: bytes) -> list[str]:
    """Return the words of an input, one on each line, as a shell would hand them over."""
    return [os.fsdecode(word) for word in data.replace(b"\0", b"").split(b"\n")]


def quiet() -> None:
    """Send what is logged nowhere; it is put together all the same."""
    import logging

    logging.getLogger("vfioctl").addHandler(logging.StreamHandler(io.StringIO()))
    logging.getLogger("vfioctl").propagate = False
    logging.raiseExceptions = True

"""Where lines of a page are run: two hosts, the files that pages name, stand-ins, a plugin that answers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from tests.pages import standins
from tests.pages.host import documented
from vfioctl.plugin.protocol import PATH_VARIABLE, encode_result

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tests.in_process import Program

CONFIGURATION: Final = '[[resource]]\nname = "vfioctl.io/gpu"\nselect = ["65:00"]\nunit = "slot"\n'
_HOSTDEV: Final = """    <hostdev mode='subsystem' type='pci' managed='yes'>
      <source><address domain='0x0000' bus='0x65' slot='0x00' function='0x{}'/></source>
    </hostdev>
"""
_DOMAIN: Final = """<domain type='kvm'>
  <name>web1</name>
  <memory unit='GiB'>8</memory>
  <vcpu>4</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
{}  </devices>
</domain>
"""
ELSEWHERE: Final = {
    "/opt/vfioctl/bin/": "",
    "/etc/systemd/system/": "./",
    "/etc/kubernetes/manifests": ".",
    "IMAGE": "image",
}
"""What a line names outside of its folder, and what it is told instead."""

_STATUS: Final[dict[str, Any]] = {
    "version": "0.1.0", "pid": 4242, "seconds_running": 60, "ready": True,
    "summary": "1 of 1 resources registered",
    "config": {"file": "/etc/vfioctl/plugin.toml", "error": None},
    "kubelet": {"folder": "/var/lib/kubelet", "registration": "kubelet", "present": True},
    "listen": "127.0.0.1:9464", "host": {"looks": 7, "seconds_since_look": 2, "error": None}, "cordoned": [],
    "resources": [],
}  # fmt: skip


class Ran(NamedTuple):
    """How a line ended: on which host, what was done to its commands, its exit code, what it said."""

    host: str
    how: str
    code: int
    said: str


class Stage:
    """Everything that a line is run with."""

    def __init__(self, folder: Path, program: Program) -> None:
        """Write hosts, files and stand-ins."""
        self._folder = folder
        self._hosts = {name: folder / name for name in ("free", "given")}
        for name, base in self._hosts.items():
            base.mkdir()
            documented(base, given=name == "given")
        standins.write_programs(folder / "bin")
        self._files = folder / "files"
        self._files.mkdir()
        _write_files(self._files, self._hosts["given"], program)
        self._plugin = _Plugin(folder / "s")
        self._runs = 0
        self._ran: dict[str, Ran] = {}
        """How lines ended: one that stands on several pages does the same on each, in a folder of its own."""

    def __enter__(self) -> Self:
        """Have the plugin answer."""
        self._plugin.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._plugin.end()

    def run(self, line: str) -> Ran:
        """Run a line where the card is free, and where that ends badly, where it is given."""
        if line not in self._ran:
            free = self._run(line, "free")
            self._ran[line] = free if free.code in GOOD else self._run(line, "given")
        return self._ran[line]

    def _run(self, line: str, host: str) -> Ran:
        self._runs += 1
        place = self._folder / f"run{self._runs}"
        shutil.copytree(self._files, place)
        for word in _written_by(line):
            (place / word).unlink(missing_ok=True)
        if "--domain web1.xml" in line and "libvirt-xml" in line and "--remove" not in line:
            (place / "domain.xml").write_text(_DOMAIN.format(""), encoding="utf-8")
            (place / "web1.xml").write_text(_DOMAIN.format(""), encoding="utf-8")
        log = place.with_suffix(".log")
        log.touch()
        variables = {
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}", "HOME": str(place), "LC_ALL": "C.UTF-8",
            "VFIOCTL_ROOT": str(self._hosts[host]), "VFIOCTL_CONFIG": "plugin.toml", standins.LOG: str(log),
            PATH_VARIABLE: str(self._plugin.path),
        }  # fmt: skip
        for name, instead in ELSEWHERE.items():
            line = line.replace(name, instead)
        command = ["bash", "-e", "-o", "pipefail", "-c", line]
        ended = subprocess.run(
            command,
            cwd=place,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        shutil.rmtree(place)
        how = "; ".join(log.read_text(encoding="utf-8").splitlines()) or "stand-in"
        return Ran(host, how, ended.returncode, ended.stdout[-800:] + ended.stderr[-800:])


_DONE: Final = {"subject": "0000:65:00.0", "changed": True, "cordoned": True, "items": [], "summary": "done"}

GOOD: Final = (0,)
"""How a line ends that did what it is shown for."""


def _written_by(line: str) -> list[str]:
    return [word for word in line.split() if word.endswith(".tar.gz")] if "snapshot save" in line else []


def _write_files(files: Path, host: Path, program: Program) -> None:
    (files / "plugin.toml").write_text(CONFIGURATION, encoding="utf-8")
    whole = _DOMAIN.format(_HOSTDEV.format(0) + _HOSTDEV.format(1))
    for name in ("domain.xml", "web1.xml"):
        (files / name).write_text(whole, encoding="utf-8")
    (files / "web2.xml").write_text(
        _DOMAIN.format(_HOSTDEV.format(0).replace("0x65", "0x81")), encoding="utf-8"
    )
    (files / "cdi").mkdir()
    program("--root", host, "cdi", "generate", "--dir", files / "cdi", "65:00")
    for name in ("host", "before", "after", "server"):
        program("--root", host, "snapshot", "save", files / f"{name}.tar.gz")
    where = ("--root", host, "kubevirt", "snippet", "--config", files / "plugin.toml", "--part")
    (files / "kubevirt.yaml").write_text(program(*where, "cluster").out, encoding="utf-8")
    for name in ("vmi.yaml", "vm.yaml", "web1.yaml"):
        (files / name).write_text(program(*where, "vmi").out, encoding="utf-8")


class _Plugin:
    """The admin socket of a plugin that says yes to everything."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listening = socket.socket(socket.AF_UNIX)
        self._answering = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        self._listening.bind(str(self.path))
        self._listening.listen()
        self._answering.start()

    def end(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._answering.join()
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                channel, _ = self._listening.accept()
            except OSError:
                return
            with channel, channel.makefile("rb") as lines:
                asked = json.loads(lines.readline())
                channel.sendall(encode_result(_STATUS if asked["command"] == "status" else _DONE))

"""vfioctl without its start: a process that has loaded its modules, and is forked for each command line.

Under software emulation an interpreter and its imports take longer than nearly any command. A fork is a
process of its own all the same: own pid, environment, folder and standard streams, nothing else open, killed
like any other. Its parent and its command line differ, and that all modules are there already: so
`test_program` holds it against the same command lines started as programs. Who holds a device is a fork too.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOMS: Final = ("model", "sysfs", "plan", "checkup", "apply", "render", "export", "cli")
"""What is loaded: not libvirt's and the plugin's rooms, which few need and whose libraries are large."""
PLUGIN: Final = "plugin"
"""Loaded too where scenarios start the plugin again and again: gRPC may be forked while it is not in use."""
PROGRAM: Final = "/checkout/vfioctl/__main__.py"
"""What `python -m vfioctl` has as the first word of its arguments."""
TOOL: Final = "vfioctl.cli.main"
HOLDER: Final = "tests.lab.guest.holder"
"""What a fork can be: modules whose `main` takes its words from `sys.argv`."""
RIGHTS: Final = "tests.lab.guest.rights"
SOCKET: Final = "\0vfioctl-lab-ready"
STREAMS: Final = 3
LONGEST: Final = 1 << 16
"""Bytes of a request; an environment and a command line are far shorter."""


def load(*more: str) -> None:
    """Load the modules of these rooms and of more, and what else a fork can be."""
    for room in (*ROOMS, *more):
        package = importlib.import_module(f"vfioctl.{room}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    for name in (HOLDER, RIGHTS):
        importlib.import_module(name)
    _make_constructors()
    # Nothing that was loaded is looked at again by a child's collector, which would copy its pages.
    gc.collect()
    gc.freeze()


def _make_constructors() -> None:
    """Make what vfioctl makes when a value is first called for: each fork would make some seventy of them."""
    value = vars(importlib.import_module("vfioctl.model.value"))
    for one in gc.get_objects():
        if (
            isinstance(one, type)
            and getattr(vars(one).get("__new__"), "__func__", None) is value["_first_call"]
        ):
            made: Any = one
            made.__new__ = value["_constructor"](made._fields, made._field_defaults)


class Rights(NamedTuple):
    """Who a fork is, and what of root's rights it has: no number and no names stand for all that there is."""

    user: int | None = None
    capabilities: tuple[str, ...] | None = None


ROOT: Final = Rights()


def run(arguments: Sequence[str], until: float, rights: Rights = ROOT) -> tuple[int, str, str]:
    """Run vfioctl in a fork; give exit code (or minus the signal), output and errors.

    It has this process's standard input, environment and folder. Raises TimeoutError, and it is killed, when
    it has not ended by then, or anybody still holds its output.
    """
    outputs = [os.pipe() for _ in range(2)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        pid = _forked(line, until, TOOL, arguments, [0, *(write for _, write in outputs)], rights)
        for _, write in outputs:
            os.close(write)
        try:
            stdout, stderr = read_all([read for read, _ in outputs], until)
            line.settimeout(max(0.01, until - time.monotonic()))
            return int(line.recv(64)), stdout, stderr
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise


class Fork:
    """A fork that goes on by itself, with a pipe to its input and one from its output, as of a program."""

    def __init__(self, module: str, *arguments: str, stderr: int = 2, within: float = 60.0) -> None:
        """Have it started; errors go where this process's go, or to another descriptor."""
        (read, to_it), (from_it, write) = os.pipe(), os.pipe()
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        until = time.monotonic() + within
        self.pid = _forked(self._line, until, module, arguments, [read, write, stderr], ROOT)
        os.close(read)
        os.close(write)
        self.stdin = os.fdopen(to_it, "w", encoding="utf-8")
        self.stdout = os.fdopen(from_it, encoding="utf-8")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Give how it has ended, None if it has not."""
        if self.returncode is None and select.select([self._line], [], [], 0)[0]:
            self.returncode = int(self._line.recv(64))
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end; raises TimeoutError."""
        if self.returncode is None:
            self._line.settimeout(timeout)
            self.returncode = int(self._line.recv(64))
        return self.returncode

    def terminate(self) -> None:
        """Ask it to end, if it has not."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def close(self) -> None:
        """Close what leads to it and from it."""
        self.stdin.close()
        self.stdout.close()
        self._line.close()


def _forked(
    line: socket.socket,
    until: float,
    module: str,
    arguments: Sequence[str],
    streams: list[int],
    rights: Rights,
) -> int:
    """Have a process forked that has this one's environment and folder; give its pid."""
    _connect(line, until)
    request = {
        "module": module,
        "arguments": [*arguments],
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "rights": rights,
    }
    socket.send_fds(line, [json.dumps(request).encode()], streams)
    return int(line.recv(64))


def read_all(descriptors: list[int], until: float) -> list[str]:
    """Read outputs to their ends: nothing that goes on by itself may hold them open."""
    texts = dict.fromkeys(descriptors, b"")
    open_ones = set(descriptors)
    while open_ones:
        readable, _, _ = select.select(list(open_ones), [], [], max(0.0, until - time.monotonic()))
        if not readable:
            message = f"the outputs stay open; so far: {texts}"
            raise TimeoutError(message)
        for descriptor in readable:
            data = os.read(descriptor, 1 << 16)
            texts[descriptor] += data
            if not data:
                os.close(descriptor)
                open_ones.discard(descriptor)
    return [text.decode(errors="replace") for text in texts.values()]


def _connect(line: socket.socket, until: float) -> None:
    """Ask the process that is forked, which may have yet to start."""
    while line.connect_ex(SOCKET):
        if time.monotonic() > until:
            message = "nobody is there to be forked"
            raise TimeoutError(message)
        time.sleep(0.05)


def started() -> None:
    """Start the process that is forked, itself a fork of this one, which must have loaded.

    The supervisor does it: of what pytest has started, nothing is there but what a scenario has. It ends with
    the supervisor.
    """
    parent = os.getpid()
    if os.fork():
        return
    try:
        os.closerange(STREAMS, os.sysconf("SC_OPEN_MAX"))
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        os.dup2(nowhere, 1)
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")  # the first to go, as pytest is
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.bind(SOCKET)
            server.listen(64)
            _serve(server, parent)
    finally:
        os._exit(1)


def _serve(server: socket.socket, parent: int) -> NoReturn:
    """Fork for each request, and tell each one's end to whoever asked."""
    ends = select.poll()
    ends.register(server, select.POLLIN)
    running: dict[int, tuple[int, socket.socket]] = {}
    while os.getppid() == parent:
        for descriptor, _ in ends.poll(1000):
            if descriptor not in running:
                pid, line = _accepted(server)
                ended = os.pidfd_open(pid)
                running[ended] = (pid, line)
                ends.register(ended, select.POLLIN)
                continue
            ends.unregister(descriptor)
            os.close(descriptor)
            pid, line = running.pop(descriptor)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            with line:
                _tell(line, code)
    sys.exit()


def _accepted(server: socket.socket) -> tuple[int, socket.socket]:
    line, _ = server.accept()
    text, streams, _, _ = socket.recv_fds(line, LONGEST, STREAMS)
    pid = os.fork()
    if pid == 0:
        _be(streams, **json.loads(text))
    for stream in streams:
        os.close(stream)
    _tell(line, pid)
    return pid, line


def _tell(line: socket.socket, number: int) -> None:
    """Say a number to whoever asked, who may have gone."""
    try:
        line.send(str(number).encode())
    except OSError:
        return


def _be(
    streams: Sequence[int],
    module: str,
    arguments: list[str],
    environment: dict[str, str],
    folder: str,
    rights: tuple[int | None, list[str] | None],
) -> NoReturn:
    """Be what `python -m` with that module is once all modules are loaded."""
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(STREAMS, os.sysconf("SC_OPEN_MAX"))
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = [PROGRAM, *arguments]
        _open_streams()
        _give_up(*rights)
        importlib.import_module(module).main()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - whatever it is, it must not go on as another server
        traceback.print_exc()
    finally:
        os._exit(70)


def _give_up(user: int | None, capabilities: list[str] | None) -> None:
    """Have no more rights than these."""
    from tests.lab.guest import rights

    if capabilities is not None:
        rights.keep(capabilities)
    if user is not None:
        rights.become(user)


def _open_streams() -> None:
    """Make the streams anew: those that the interpreter has made know what was there before."""
    for number, (name, mode, buffering) in enumerate(
        (("stdin", "r", -1), ("stdout", "w", -1), ("stderr", "w", 1))
    ):
        stream = os.fdopen(number, mode, buffering, encoding="utf-8", closefd=False)
        vars(sys).update({name: stream, f"__{name}__": stream})

"""QEMU's monitor from inside the guest: devices plugged and pulled while the kernel runs."""

from __future__ import annotations

import json
import os
import select
import time
from typing import TYPE_CHECKING, Any, Final

from tests.lab.guest import channel
from tests.lab.topology import QMP_PORT

if TYPE_CHECKING:
    from typing import Self

ANSWER_DEADLINE: Final = 20.0


class Monitor:
    """A connection to QEMU; used as a context manager, one at a time."""

    def __enter__(self) -> Self:
        """Open the port and agree on the protocol."""
        self._port = os.open(channel.port(QMP_PORT), os.O_RDWR)
        self._pending = b""
        try:
            self.execute("qmp_capabilities")
        except RuntimeError as error:  # QEMU's side of the line stays open: only the first user has to agree
            if "already complete" not in str(error):
                os.close(self._port)
                raise
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close the port."""
        os.close(self._port)

    def execute(self, command: str, **arguments: object) -> Any:  # noqa: ANN401 (QEMU answers with any JSON value)
        """Run one command and give its answer; raise RuntimeError with QEMU's own words."""
        request = json.dumps({"execute": command, "arguments": arguments}) + "\n"
        os.write(self._port, request.encode())
        while True:
            message = self._read()
            if "error" in message:
                raise RuntimeError(message["error"]["desc"])
            if "return" in message:
                return message["return"]

    def add(self, model: str, device_id: str, bus: str, **properties: object) -> None:
        """Plug a device in."""
        self.execute("device_add", driver=model, id=device_id, bus=bus, **properties)

    def remove(self, device_id: str) -> None:
        """Ask for a device to be pulled, once its port is ready; the kernel decides when it is gone."""
        end = time.monotonic() + ANSWER_DEADLINE
        while True:
            try:
                self.execute("device_del", id=device_id)
            except (
                RuntimeError
            ) as error:  # the port's indicator still blinks from the device being plugged in
                if "guest is busy" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.2)
            else:
                return

    def has(self, device_id: str) -> bool:
        """Tell whether QEMU has a device of this id: longer than the kernel, which lets go first."""
        children = self.execute("qom-list", path="/machine/peripheral")
        return any(child["name"] == device_id for child in children)

    def _read(self) -> dict[str, Any]:
        """Read one message: the greeting, an answer or an event."""
        end = time.monotonic() + ANSWER_DEADLINE
        while b"\n" not in self._pending:
            if not select.select([self._port], [], [], max(0.0, end - time.monotonic()))[0]:
                message = "QEMU's monitor does not answer"
                raise TimeoutError(message)
            self._pending += os.read(self._port, 1 << 16)
        line, _, self._pending = self._pending.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

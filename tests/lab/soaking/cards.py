"""The cards of a long run: plugged and pulled through QEMU's monitor, bound and unbound by vfioctl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tests.lab.guest import cli, kernel

if TYPE_CHECKING:
    from tests.lab.guest.qmp import Monitor

PATIENCE: Final = 120.0
"""Seconds for what takes one elsewhere: software emulation, and two guests side by side."""
HOST_DRIVER: Final = "e1000e"


class Card(NamedTuple):
    """A NIC in a port of its own, of one function or two."""

    port: str
    addresses: tuple[str, ...]
    lent: bool = False
    """Whether it stays the host's until a pod wants it."""

    @property
    def present(self) -> bool:
        """Whether the kernel has it."""
        return all((kernel.DEVICES / address).exists() for address in self.addresses)

    @property
    def gone(self) -> bool:
        """Whether the kernel has nothing of it."""
        return not any((kernel.DEVICES / address).exists() for address in self.addresses)

    @property
    def bound(self) -> bool:
        """Whether all of it is on vfio-pci."""
        return self.present and {kernel.driver_of(one) for one in self.addresses} == {"vfio-pci"}

    @property
    def returned(self) -> bool:
        """Whether all of it is on the host's driver."""
        return self.present and {kernel.driver_of(one) for one in self.addresses} == {HOST_DRIVER}

    @property
    def fit(self) -> bool:
        """Whether it may be offered, as far as its drivers go."""
        return self.present if self.lent else self.bound


PAIR: Final = Card("rp2", ("0000:02:00.0", "0000:02:00.1"))
"""Two functions in one group."""
SINGLE: Final = Card("rp3", ("0000:03:00.0",))
LENT: Final = Card("rp4", ("0000:04:00.0",), lent=True)
CARDS: Final = (PAIR, SINGLE, LENT)


def plug(monitor: Monitor, card: Card) -> None:
    """Plug a card in; function 0 last, since the port looks when that one comes."""
    for number in reversed(range(len(card.addresses))):
        more = {"multifunction": True} if len(card.addresses) > 1 else {}
        monitor.add("e1000e", _name(card, number), card.port, addr=f"0.{number}", romfile="", **more)
    kernel.wait_until(lambda: card.returned, f"{card.port} to be driven", PATIENCE)
    kernel.settle()
    if not card.lent:
        bind(card)


def pull(monitor: Monitor, card: Card) -> None:
    """Pull a card: all of its functions go with the first."""
    if not card.gone:
        monitor.remove(_name(card, 0))
    kernel.wait_until(
        lambda: card.gone and not any(monitor.has(_name(card, one)) for one in range(2)),
        f"{card.port} to be empty",
        PATIENCE,
    )
    kernel.settle()


def bind(card: Card) -> None:
    """Give a card to vfio-pci, all of its group."""
    _change("bind", card)


def unbind(card: Card) -> None:
    """Give a card back to the host's driver."""
    _change("unbind", card)


def _change(command: str, card: Card) -> None:
    answer = cli.vfioctl(command, *card.addresses, "--lock-timeout", "60", deadline=PATIENCE)
    assert answer.exit_code == 0, (command, card.addresses, answer.exit_code, answer.stdout, answer.stderr)


def _name(card: Card, number: int) -> str:
    return f"{card.port}-{number}"

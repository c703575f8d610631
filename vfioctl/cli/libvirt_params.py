"""The values that ``vfioctl libvirt-xml`` takes, with what the shell may complete."""

from __future__ import annotations

from vfioctl.cli.params import Value
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click
    from click.shell_completion import CompletionItem

    from vfioctl.libvirt.guest_slot import GuestSlot
    from vfioctl.libvirt.version import Version


class Word(Value):
    """A text; the shell offers how it begins, or what is usual."""

    name = "word"

    def __init__(self, *offers: str) -> None:
        """Keep what is offered."""
        self.offers = offers

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete what is usual."""
        return _items(self.offers, incomplete)


class VersionType(Value):
    """A release of libvirt."""

    name = "version"

    def convert(
        self, value: str | Version, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> Version:
        """Read a release; the UsageError it raises passes through to the boundary."""
        from vfioctl.libvirt.version import Version

        return Version.parse(value) if isinstance(value, str) else value

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the releases that brought something."""
        from vfioctl.libvirt.version import ASSUMED, FEATURES

        since = {feature.since for feature in FEATURES.values() if feature.since >= ASSUMED}
        return _items((f"{one.major}.{one.minor}" for one in sorted({ASSUMED, *since})), incomplete)


class GuestSlotType(Value):
    """A slot of the guest."""

    name = "slot"

    def convert(
        self, value: str | GuestSlot, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> GuestSlot:
        """Read a slot; the UsageError it raises passes through to the boundary."""
        from vfioctl.libvirt.guest_slot import parse_guest_slot

        return parse_guest_slot(value) if isinstance(value, str) else value

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete slots that are usually free on a PCI Express machine."""
        return _items((f"{bus:02x}:00" for bus in range(5, 16)), incomplete)


class DriverType(Value):
    """A vfio driver of the host."""

    name = "driver"

    def shell_complete(
        self, ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the vfio drivers that this host has."""
        from vfioctl.cli.session import Session
        from vfioctl.errors import VfioctlError
        from vfioctl.model.ids import is_vfio_driver
        from vfioctl.sysfs.glance import glance_drivers

        session = ctx.find_object(Session) or Session()
        try:
            with session.opened() as root:
                found = [name for name in glance_drivers(root) if is_vfio_driver(name)]
        except VfioctlError:
            found = []
        return _items(found or ("vfio-pci",), incomplete)


class RomFile(Value):
    """A file, or one of the words ``off`` and ``none``."""

    name = "file"

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete files and the words."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file"), *_items(("off", "none"), incomplete)]


def _items(offers: Iterable[str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(offer) for offer in offers if offer.startswith(incomplete)]

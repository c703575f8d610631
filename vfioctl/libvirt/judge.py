"""Whether what was made may leave the house: versions, rules, and the installed schema."""

from __future__ import annotations

from vfioctl.errors import VfioctlError
from vfioctl.libvirt.devices import build, features
from vfioctl.libvirt.domain_rules import devices_findings, split_cards, usb_findings
from vfioctl.libvirt.findings import raise_refused, warning
from vfioctl.libvirt.fragments import iommufd_element
from vfioctl.libvirt.host_rules import host_findings
from vfioctl.libvirt.installed import installed_version
from vfioctl.libvirt.schema import load_schema
from vfioctl.libvirt.value_rules import value_findings
from vfioctl.libvirt.values import UsbHostdev, name_of
from vfioctl.libvirt.version import ASSUMED, needed, require
from vfioctl.model.value import NamedTuple
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vfioctl.libvirt.findings import Finding
    from vfioctl.libvirt.schema import Schema
    from vfioctl.libvirt.values import Device
    from vfioctl.libvirt.version import Version
    from vfioctl.model.host import Host


class Judge(NamedTuple):
    """What output is made for, and what it is held against."""

    target: Version
    """The release of libvirt that will read it."""
    schema: Schema | None
    schema_version: Version | None
    """The release that the schema is of."""

    def why_unchecked(self, names: Sequence[str]) -> str | None:
        """Return why there is no schema to hold something with these features against; None if there is."""
        if self.schema is None:
            return "no schema of libvirt is installed here"
        if self.schema_version is not None and needed(names) > self.schema_version:
            return f"the schema installed here is of {self.schema_version}, which lacks what was asked for"
        return None


def judge_for(target: Version | None) -> Judge:
    """Judge for a release of libvirt: the one given, else the installed one, else 9.0."""
    installed = installed_version()
    return Judge(target or installed or ASSUMED, load_schema(), installed)


def check_devices(
    host: Host,
    devices: Sequence[Device],
    judge: Judge,
    *,
    beside: Sequence[Device] = (),
    domain_iommufd: bool = False,
) -> list[Finding]:
    """Accept devices for one domain, beside those it has already, and return what to know about them.

    Raises:
        HostCannotError: the release lacks a feature, or a device can never be given away like this.
        UsageError: settings that libvirt would refuse.
        VfioctlError: the installed schema refuses what was made.

    """
    names = [name for device in devices for name in features(device)]
    names += ["domain-iommufd"] if domain_iommufd else []
    require(names, judge.target)
    found = list(_findings(host, devices, beside))
    raise_refused(found)
    unchecked = judge.why_unchecked(names)
    if unchecked is None and judge.schema is not None:
        _hold_against(judge.schema, devices, domain_iommufd=domain_iommufd)
    elif judge.schema is not None:
        found.append(warning("schema", None, f"not held against a schema: {unchecked}"))
    return found


def _findings(host: Host, devices: Sequence[Device], beside: Sequence[Device]) -> Iterator[Finding]:
    for device in devices:
        yield from value_findings(device)
        if isinstance(device, UsbHostdev):
            yield from usb_findings(device)
    yield from devices_findings(devices)
    yield from host_findings(host, devices, beside)
    yield from split_cards([*beside, *devices], host)


def _hold_against(schema: Schema, devices: Sequence[Device], *, domain_iommufd: bool) -> None:
    for device in devices:
        _refuse_invalid(name_of(device), schema.fragment_errors([build(device)]))
    if domain_iommufd:
        _refuse_invalid("iommufd", schema.fragment_errors([iommufd_element()]))


def _refuse_invalid(name: str, errors: Sequence[str]) -> None:
    if errors:
        raise VfioctlError(
            f"the schema of the installed libvirt refuses what was made of {name}: {'; '.join(errors)}",
            hint="this is a fault of vfioctl; report it with the command line",
        )

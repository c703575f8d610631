"""The devices themselves: alive, resettable, awake, without errors, on the driver made for them."""

from __future__ import annotations

from vfioctl.checkup.check import Check, Evidence, Status, evidence, in_doubt, listed
from vfioctl.model import paths
from vfioctl.model.device import VirtualFunction
from vfioctl.model.variants import variants
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.checkup.check import Patient
    from vfioctl.model.device import PciDevice
    from vfioctl.model.facts import Fact

_AMD = 0x1002
_DISPLAY = 0x03
# GPUs whose reset does not work, by first and last device id, as the out-of-tree module vendor-reset lists
# them: Polaris, Vega, Navi 10 to 14. Told in issues, not measured (K44).
_BAD_RESET = (
    (0x67C0, 0x67FF),
    (0x6980, 0x699F),
    (0x6860, 0x687F),
    (0x66A0, 0x66AF),
    (0x7310, 0x7319),
    (0x7340, 0x734F),
    (0x7360, 0x7362),
)
_ASLEEP = frozenset({"D1", "D2", "D3hot", "D3cold"})
_COUNTERS = ("aer_dev_fatal", "aer_dev_nonfatal", "aer_dev_correctable")


def _file(device: PciDevice, name: str) -> str:
    return f"{paths.PCI_DEVICES}/{device.address}/{name}"


def reset(patient: Patient) -> Iterator[Check]:
    """Judge whether a device can be brought back to its first state between two VMs (K43, K44, K46)."""
    for device in patient.wanted.devices:
        yield _reset(patient, device)


def _reset(patient: Patient, device: PciDevice) -> Check:
    address, see = device.address, f"vfioctl show {device.address}"
    methods = Evidence(_file(device, "reset_method"), listed(device.reset_methods) or "none")
    if device.alive is False:
        seen = (Evidence(_file(device, "config"), "reads all ones"),)
        title = "it does not answer: it did not come back from a reset or from D3, and is off the bus"
        again = f"echo 1 > {_file(device, 'remove')}; echo 1 > /sys/bus/pci/rescan"
        remedy = f"{again}; else switch the power off and on"
        return Check("reset", title, address, Status.FAIL, seen, remedy, see)
    if not device.reset_methods:
        return _no_method(patient, device)
    if _resets_badly(patient, device):
        title = "this AMD GPU is known not to reset: a second VM may find it dead until the host reboots"
        remedy = "install and load the module vendor-reset before the VM starts"
        return Check("reset", title, address, Status.WARN, (methods,), remedy, see)
    sharing = _shares_bus(patient, device) if device.reset_methods == ("bus",) else []
    if sharing:
        title = f"only a reset of its bus is left, which also resets {listed(sharing)}"
        remedy = f"give all of them to the same VM: vfioctl bind {device.address} {listed(sharing)}"
        return Check("reset", title, address, Status.WARN, (methods,), remedy, see)
    return Check(
        "reset", f"it resets by {listed(device.reset_methods)}", address, Status.OK, (methods,), None, see
    )


def _no_method(patient: Patient, device: PciDevice) -> Check:
    fact = patient.facts.of(device.address, paths.RESET)
    unknown = (device.address, "reset_method") in patient.host.unknown_fields
    if fact.text is not None:
        title = "the kernel can reset it, but how is unknown"
        return in_doubt("reset", title, (fact,), address=device.address)
    if fact.doubt is not None or unknown:
        return in_doubt("reset", "whether it can be reset is unknown", (fact,), address=device.address)
    title = "the kernel knows no way to reset it: a second VM finds it as the first one left it"
    others = [one.address for one in patient.host.same_slot(device) if one.reset_methods]
    remedy = (
        f"give it away together with {listed(others)}, whose reset takes it along"
        if others
        else "expect to reboot the host between two VMs that use it"
    )
    see = f"vfioctl show {device.address}"
    return Check("reset", title, device.address, Status.WARN, (evidence(fact),), remedy, see)


def _resets_badly(patient: Patient, device: PciDevice) -> bool:
    if "device_specific" in device.reset_methods or "vendor_reset" in patient.catalog.present:
        return False
    display = device.vendor_id == _AMD and device.class_code >> 16 == _DISPLAY
    return display and any(first <= device.device_id <= last for first, last in _BAD_RESET)


def _shares_bus(patient: Patient, device: PciDevice) -> list[object]:
    """Return the functions on its bus that are not on a VFIO driver."""
    return [
        one.address
        for one in patient.host.devices
        if one.address[:2] == device.address[:2] and one.address != device.address and not one.on_vfio
    ]


def power(patient: Patient) -> Iterator[Check]:
    """Judge whether a device sleeps too deep to come back (K45)."""
    idle = patient.facts.fact(paths.IDLE_D3)
    for device in patient.wanted.devices:
        allowed = patient.facts.of(device.address, "d3cold_allowed")
        state = Evidence(_file(device, "power_state"), device.power_state or "not known")
        seen = (state, *(evidence(fact) for fact in (allowed, idle) if fact.text is not None))
        if device.power_state == "error" or (device.alive is False and device.power_state in _ASLEEP):
            title = f"it does not answer in power state {device.power_state}: it did not come back from sleep"
            yield Check("power", title, device.address, Status.FAIL, seen, _stay_awake(allowed))
        elif device.power_state == "D3cold":
            title = "its power is off (D3cold); not every card comes back from that"
            yield Check("power", title, device.address, Status.WARN, seen, _stay_awake(allowed))
        elif device.power_state in {None, "unknown"}:
            title = "its power state is unknown"
            yield Check("power", title, device.address, Status.UNKNOWN, seen)
        else:
            title = f"it is in power state {device.power_state}"
            if device.power_state != "D0" and device.on_vfio:
                title += ", where vfio-pci puts what is idle"
            yield Check("power", title, device.address, Status.OK, seen)


def _stay_awake(allowed: Fact) -> str:
    where = f"echo 0 > {allowed.file}, or " if allowed.text == "1" else ""
    return f"{where}add 'options vfio-pci disable_idle_d3=1' to /etc/modprobe.d/vfio.conf, and reboot"


def errors(patient: Patient) -> Iterator[Check]:
    """Judge whether the device's link reports errors (K49); counted twice, whether they go on."""
    for device in patient.wanted.devices:
        # Virtual functions have no counters of their own.
        if not isinstance(device.sriov, VirtualFunction):
            yield _errors(patient, device)


def _errors(patient: Patient, device: PciDevice) -> Check:
    facts = [patient.facts.of(device.address, name) for name in _COUNTERS]
    counts = [_total(fact) for fact in facts]
    if None in counts:
        return in_doubt("aer", "whether it reports errors is unknown", facts, address=device.address)
    grown = _grown(patient, device)
    seen = tuple(
        Evidence(fact.file, f"{count}" + (f", {more} more since" if more else ""))
        for fact, count, more in zip(facts, counts, grown, strict=True)
        # Where there are errors, those that did not happen are no news.
        if count or not any(counts)
    )
    remedy = "look at: dmesg | grep -i AER; reseat the card, try another slot or riser, or a lower link speed"
    if any(grown):
        title = f"{sum(grown)} errors were reported while it was looked at"
        return Check("aer", title, device.address, Status.FAIL, seen, remedy)
    if any(counts):
        kinds = [
            name.removeprefix("aer_dev_") for name, count in zip(_COUNTERS, counts, strict=True) if count
        ]
        title = f"it has reported errors since it was started: {listed(kinds)}"
        return Check(
            "aer", title, device.address, Status.WARN, seen, f"{remedy}; still going on? --watch-errors 10"
        )
    return Check("aer", "it has reported no error", device.address, Status.OK, seen)


def _total(fact: Fact) -> int | None:
    """Return the sum of a counter: its line ``TOTAL_ERR_COR 0``; None where there is none."""
    for line in fact.lines:
        name, _, number = line.partition(" ")
        if name.startswith("TOTAL_ERR") and number.strip().isdecimal():
            return int(number)
    return None


def _grown(patient: Patient, device: PciDevice) -> list[int]:
    """Return by how much each counter has grown between two readings."""
    grown = []
    for name in _COUNTERS:
        before = patient.facts.of(device.address, name)
        after = patient.facts.later(device.address, name)
        more = (_total(after) or 0) - (_total(before) or 0) if after is not None else 0
        grown.append(max(more, 0))
    return grown


def variant(patient: Patient) -> Iterator[Check]:
    """Judge whether the variant driver made for a device exists and has it (K52)."""
    catalog = patient.catalog
    aliases = f"/lib/modules/{patient.release}/modules.alias"
    for device in patient.wanted.devices:
        if catalog.loadable is None:
            seen = (Evidence(aliases, "the lists of modules could not be read"),)
            title = "whether a variant driver is made for it is unknown"
            yield Check("variant", title, device.address, Status.UNKNOWN, seen)
            continue
        made = [module for module in variants(catalog, device) if module != "vfio_pci"]
        yield _variant(patient, device, made[0] if made else None, aliases)


def _variant(patient: Patient, device: PciDevice, module: str | None, aliases: str) -> Check:
    catalog, address = patient.catalog, device.address
    seen: tuple[Evidence, ...] = (
        Evidence(aliases, module or "no variant for this model"),
        Evidence(_file(device, "driver"), device.driver or "none"),
    )
    if module is None:
        return Check("variant", "vfio-pci is the driver for this model", address, Status.OK, seen)
    drivers = {driver for name, driver in catalog.loaded if name == module} | {module}
    if (device.driver or "").replace("-", "_") in {name.replace("-", "_") for name in drivers}:
        return Check("variant", f"it is on {device.driver}, made for this model", address, Status.OK, seen)
    if module not in catalog.present | (catalog.loadable or frozenset()):
        title = f"{module} is made for this model, but is not installed: live migration and more are missing"
        remedy = f"install the package of kernel modules that has {module}"
        return Check("variant", title, address, Status.WARN, seen, remedy)
    if device.on_vfio:
        title = f"it is on {device.driver}, though {module} is made for this model"
        return Check("variant", title, address, Status.WARN, seen, f"vfioctl bind --driver auto {address}")
    seen = (*seen, Evidence(aliases.replace("modules.alias", "modules.dep"), f"{module} can be loaded"))
    return Check("variant", f"{module} is made for this model, and can be loaded", address, Status.OK, seen)

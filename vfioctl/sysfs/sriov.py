"""Read what beside its devices a host says of SR-IOV.

``sriov_numvfs`` is never read: it waits for a lock that a blocked removal of a virtual function holds (K56).
"""

from __future__ import annotations

from vfioctl.model.device import PhysicalFunction
from vfioctl.model.splitting import Splitting, Splittings
from vfioctl.sysfs import root as paths
from vfioctl.sysfs.attribute import Attributes, Files
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.address import PciAddress
    from vfioctl.model.host import Host
    from vfioctl.sysfs.root import HostRoot

_VFIO_SPLITS = f"{paths.MODULES}/vfio_pci/parameters/enable_sriov"
_ANSWERS = {"0": False, "1": True, "N": False, "Y": True}


def read_splittings(root: HostRoot, host: Host, *, files: Files | None = None) -> Splittings:
    """Read how the physical functions of a host stand; raises nothing, what is not known is None."""
    attributes = Attributes(files or Files(root))
    functions = (
        _splitting(attributes, device.address)
        for device in host.devices
        if isinstance(device.sriov, PhysicalFunction)
    )
    return Splittings(tuple(functions), _ANSWERS.get(attributes.text(_VFIO_SPLITS) or ""))


def _splitting(attributes: Attributes, address: PciAddress) -> Splitting:
    # Through the link: a recording keeps what is read where it is, not below the link to it.
    link = f"{paths.PCI_DEVICES}/{address}"
    place = attributes.target(link) or link
    probing = _ANSWERS.get(attributes.text(f"{place}/sriov_drivers_autoprobe") or "")
    return Splitting(address, probing, attributes.integer(f"{place}/sriov_vf_device", 16))

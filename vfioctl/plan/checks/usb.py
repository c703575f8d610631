"""USB controllers that share their ports: half of them at VFIO can bring the host down (K60)."""

from __future__ import annotations

from vfioctl.model.ids import is_vfio_driver
from vfioctl.plan.findings import refuse
from vfioctl.plan.scope import EHCI, usb_companions
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.plan.findings import Case
    from vfioctl.plan.plan import Finding


def companions(case: Case) -> Iterator[Finding]:
    """Refuse to leave an EHCI controller on the host while UHCI or OHCI functions of its slot are at VFIO."""
    goals = {move.address: move for move in case.moves}
    for device in case.moving:
        for other in usb_companions(case.host, device):
            fast, slow = (device, other) if device.class_code == EHCI else (other, device)
            move, its = goals.get(fast.address), goals.get(slow.address)
            driver = fast.driver if move is None else move.goal.driver
            stays = (move is not None and move.kernel_decides) or (
                driver is not None and not is_vfio_driver(driver)
            )
            if stays and is_vfio_driver(slow.driver if its is None else its.goal.driver):
                text = (
                    f"with {fast.address} on the host's driver the kernel can panic: they share their ports"
                )
                hint = (
                    f"name both, without --device-only: vfioctl {case.command} {slow.address} {fast.address}"
                )
                yield refuse("host-cannot", slow, text, hint)

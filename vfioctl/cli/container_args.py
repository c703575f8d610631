"""``vfioctl container-args``: the flags that hand devices to docker run and podman run."""

from __future__ import annotations

import sys

import click

from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.export_params import BACKENDS
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, SelectorType
from vfioctl.cli.session import writing
from vfioctl.cli.tree import COMMANDS
from vfioctl.errors import UsageError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfioctl.cli.session import Session
    from vfioctl.export.container import Circumstances
    from vfioctl.export.readiness import Finding
    from vfioctl.model.device import PciDevice
    from vfioctl.model.selector import Selector


@click.command(
    "container-args",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["container-args"][1],
    help="""Print the flags with which docker run or podman run hands devices to a container, on one line for
the shell: the nodes, the memory limit, the groups that may open the nodes, and with --for what else the
program inside needs.

For a device that is not on a vfio driver yet, it prints the flags that it will need, and warns.""",
    epilog="""\b
Examples:
  docker run $(vfioctl container-args 65:00.0) IMAGE
  podman run $(vfioctl container-args --runtime podman --for qemu 65:00) IMAGE
  vfioctl container-args --cdi 65:00.0           by name, after: vfioctl cdi generate
  vfioctl container-args vfs-of:enp1s0#0-3 --for dpdk --json
""",
)
@click.argument(
    "selectors",
    nargs=-1,
    required=True,
    type=SelectorType(),
    metavar="SELECTOR...",
    cls=Argument,
    help="Which devices: 65:00.0, 65:00, class:gpu, vfs-of:enp1s0#0-3 ...",
)
@click.option(
    "--runtime", type=click.Choice(["docker", "podman"]), default="docker", help="Who reads them (docker)."
)
@click.option(
    "--for", "workload", type=click.Choice(["qemu", "dpdk", "spdk"]), help="What runs in the container."
)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="auto",
    help="Nodes: of the group (legacy), of the device (iommufd), or both where there are both (auto).",
)
@click.option("--cdi", is_flag=True, help="Name the devices by CDI instead of by their nodes.")
@click.option("--rootless", is_flag=True, help="For podman that is not started by root.")
@pass_session
def command(
    session: Session,
    *,
    selectors: tuple[Selector, ...],
    runtime: str,
    workload: str | None,
    backend: str,
    cdi: bool,
    rootless: bool,
) -> None:
    """Print flags."""
    if rootless and runtime != "podman":
        raise UsageError("--rootless is for podman", hint="add --runtime podman")
    if cdi and backend != "auto":
        raise UsageError(
            "--backend chooses nodes, and --cdi names none",
            hint=f"choose when the names are made: vfioctl cdi generate --backend {backend}",
        )
    from vfioctl.cli.container_targets import circumstances, devices_for_arguments

    host = session.host()
    devices, findings = devices_for_arguments(session, host, selectors, backend, cdi=cdi)
    around = circumstances(
        session, devices, runtime=runtime, workload=workload, backend=backend, cdi=cdi, rootless=rootless
    )
    _print(session, devices, around, findings)
    session.note_unread(host)


def _print(
    session: Session, devices: Sequence[PciDevice], around: Circumstances, findings: Sequence[Finding]
) -> None:
    from vfioctl.cli.cdi_output import finding_documents, note_findings
    from vfioctl.export.container import device_nodes, run_arguments

    arguments = run_arguments(devices, around)
    if session.form == "json":
        from vfioctl.render.document import document

        members = [
            {
                "address": str(device.address),
                "driver": device.driver,
                "ready": device.on_vfio,
                "nodes": list(device_nodes(device, around.backend)),
            }
            for device in devices
        ]
        session.print_document(
            document(
                "container-args",
                runtime=around.runtime.value,
                arguments=list(arguments),
                devices=members,
                findings=finding_documents(findings),
            )
        )
    else:
        import shlex

        with writing():
            sys.stdout.write(shlex.join(arguments) + "\n")
    note_findings(session, findings)

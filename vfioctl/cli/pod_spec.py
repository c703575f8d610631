"""``vfioctl pod-spec``: a Pod that asks for what a VM needs."""

from __future__ import annotations

import sys

import click

from vfioctl.cli.command import HELP_NAMES, Command
from vfioctl.cli.libvirt_params import Word
from vfioctl.cli.options import pass_session
from vfioctl.cli.params import Argument, FilePath, SelectorType
from vfioctl.cli.plugin_config import config_option, configuration, surveyed
from vfioctl.cli.session import writing
from vfioctl.cli.tree import COMMANDS
from vfioctl.errors import UsageError
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.cli.pod_targets import Need
    from vfioctl.cli.session import Session
    from vfioctl.model.host import Host
    from vfioctl.model.selector import Selector


@click.command(
    "pod-spec",
    cls=Command,
    context_settings=HELP_NAMES,
    short_help=COMMANDS["pod-spec"][1],
    help="""Print, as YAML, a Pod that asks for what a VM needs: the resources of the plugin's configuration
that offer its devices, memory with what is locked beside it, huge pages, CPUs. The VM is a domain of
libvirt's, a VM of KubeVirt's, or just the selected devices.

A device that no configured resource offers is an error, with the [[resource]] that would.""",
    epilog="""\b
Examples:
  vfioctl pod-spec 65:00.0
  virsh dumpxml --inactive web1 | vfioctl pod-spec --domain - --image registry.example/qemu
  kubectl get vmi web1 -o yaml | vfioctl pod-spec --vmi -
""",
)
@click.argument(
    "selectors",
    nargs=-1,
    type=SelectorType(),
    metavar="[SELECTOR]...",
    cls=Argument,
    help="Which devices: 65:00.0, class:gpu ...",
)
@click.option(
    "--domain",
    type=FilePath(),
    metavar="FILE",
    help="A domain's XML, as virsh dumpxml --inactive prints it; - is stdin.",
)
@click.option(
    "--vmi", type=FilePath(), metavar="FILE", help="A VM of KubeVirt's, as YAML or JSON; - is stdin."
)
@click.option(
    "--image", type=Word("localhost/"), default="qemu", metavar="IMAGE", help="The container's image (qemu)."
)
@config_option
@pass_session
def command(
    session: Session,
    *,
    selectors: tuple[Selector, ...],
    domain: str | None,
    vmi: str | None,
    image: str,
    config: str | None,
) -> None:
    """Print a Pod."""
    if sum(map(bool, (selectors, domain, vmi))) != 1:
        raise UsageError(
            "selectors, --domain or --vmi: one of them says what the VM needs",
            hint="as in: vfioctl pod-spec 65:00.0",
        )
    from vfioctl.cli.cdi_output import finding_documents, note_findings
    from vfioctl.cli.pod_targets import requests
    from vfioctl.export.pod import pod
    from vfioctl.export.yaml_text import yaml_text

    wanted = configuration(session, config)
    host, sight = surveyed(session)
    need = _need(session, host, selectors, domain, vmi)
    counts, findings = requests(host, wanted, sight, need)
    made = pod(need.machine, counts, image)
    if session.form == "json":
        from vfioctl.render.document import document

        session.print_document(document("pod-spec", pod=made, findings=finding_documents(findings)))
    else:
        with writing():
            sys.stdout.write(yaml_text([made]))
    note_findings(session, findings)
    session.note_unread(host)


def _need(
    session: Session, host: Host, selectors: tuple[Selector, ...], domain: str | None, vmi: str | None
) -> Need:
    from vfioctl.cli.pod_targets import of_domain, of_selectors, of_vmi

    if domain:
        return of_domain(domain)
    return of_vmi(vmi) if vmi else of_selectors(session, host, selectors)

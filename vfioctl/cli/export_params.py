"""Options of the commands that hand devices to containers."""

from __future__ import annotations

import click

BACKENDS = ("auto", "legacy", "iommufd")
"""What ``--backend`` takes: the words of `vfioctl.export.nodes.Backend`."""

static_option = click.option(
    "--static", is_flag=True, help="Use /etc/cdi, which lasts, instead of /var/run/cdi."
)
"""Where specifications are kept."""

"""Domains as libvirt writes them, and as people do."""

from __future__ import annotations

from typing import Final

MINIMAL: Final = """\
<domain type='qemu'>
  <name>web1</name>
  <memory unit='GiB'>4</memory>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
  </os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <memballoon model='none'/>
  </devices>
</domain>
"""
"""Little more than a name."""

FULL: Final = """\
<?xml version='1.0' encoding='UTF-8'?>
<!--
WARNING: THIS IS AN AUTO-GENERATED FILE; no, it is not, and <hostdev> in a comment is none.
-->
<domain type="kvm" xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
\t<name>w\u00fcrfel &amp; co</name>
\t<metadata>
\t\t<app:info xmlns:app="http://example.org/app"><devices><hostdev/></devices></app:info>
\t</metadata>
\t<memory unit='KiB'>4194304</memory>
\t<vcpu>2</vcpu>
\t<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
\t<devices>
\t\t<emulator>/usr/bin/qemu-system-x86_64</emulator>
\t\t<disk type='file' device='disk'>
\t\t\t<source file='/var/lib/libvirt/images/a.img'/>
\t\t\t<target dev='vda' bus='virtio'/>
\t\t\t<address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/>
\t\t</disk>
\t\t<controller type='pci' index='0' model='pcie-root'/>
\t\t<controller type='pci' index='6' model='pcie-root-port'/>
\t\t<!-- the stick -->
\t\t<hostdev mode='subsystem' type='usb'>
\t\t\t<source><vendor id='1133'/><product id='0xc52b'/></source>
\t\t</hostdev>
\t\t<graphics type='vnc'/>   <!-- behind -->
\t</devices>
\t<qemu:commandline>
\t\t<qemu:arg value='-overcommit'/><qemu:arg value='cpu-pm=on'/>
\t</qemu:commandline>
</domain>
<!-- after the end -->
"""
"""A bit of everything: tabs, both kinds of quotation marks, comments, namespaces, characters beyond ASCII."""


def domain(devices: str = "", *, before: str = "", name: str = "web1", machine: str = "q35") -> str:
    """Return a small domain with these devices, and something before ``<devices>``."""
    return (
        f"<domain type='qemu'><name>{name}</name><memory unit='GiB'>4</memory>"
        f"<os><type arch='x86_64' machine='{machine}'>hvm</type></os>{before}"
        f"<devices>\n<emulator>/usr/bin/qemu-system-x86_64</emulator>\n{devices}\n</devices></domain>\n"
    )

"""Take a PCI device from the host's driver to a virtual machine and back, and never strand it."""

__version__ = "0.1.0"

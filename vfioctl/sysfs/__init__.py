"""How a host is read: sysfs and its neighbours procfs and devfs, through one root."""

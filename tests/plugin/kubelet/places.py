"""Where a kubelet of the tests has its sockets, as a plugin's configuration has to say it."""

from __future__ import annotations


def plugins_of(folder: object) -> str:
    """Return where the kubelet below a folder takes registrations."""
    return f"{folder}/device-plugins"


def told(folder: object, listen: str = "") -> str:
    """Return the configuration's first table for a plugin of the kubelet below a folder."""
    places = f'kubelet_dir = "{folder}"\ndevice_plugins_dir = "{plugins_of(folder)}"\n'
    return f'[plugin]\n{places}listen = "{listen}"\n'

"""How much `vfioctl serve-plugin` carries, measured from wire to wire; never asserted."""

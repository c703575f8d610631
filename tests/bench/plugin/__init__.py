"""How much `vfioctl serve-plugin` carries, measured from wire to wire; never asserted."""

import os

# What the library has to say of servers that end is of no interest; it listens when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

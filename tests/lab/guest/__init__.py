"""What runs inside the guest: its init, the supervisor of pytest, and the tools that scenarios use."""

"""What guests run to become sample hosts."""

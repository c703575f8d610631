"""What a host is: frozen values and pure questions about them; standard library only."""

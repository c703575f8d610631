"""Something changed, says the kernel: where to look is known, what changed is read again."""

"""A host's devices in the words of others: container runtimes, KubeVirt."""

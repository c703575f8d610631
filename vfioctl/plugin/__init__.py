"""The kubelet side: device-plugin servers, one per resource, in one process."""

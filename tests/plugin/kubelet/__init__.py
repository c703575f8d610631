"""A kubelet for tests: what a device plugin meets at its other end, over real unix sockets.

It behaves as running kubelets (1.33.13, 1.36.2) were seen to behave; each behaviour names the fact that it
imitates. Where nothing was seen, the source of the same kubelets was followed, marked (s).
"""

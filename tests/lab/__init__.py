"""The lab: vfioctl proved on stock distribution kernels in QEMU with an emulated IOMMU."""

"""Host devices as libvirt's XML: made, gated by version, validated, put into a domain, checked there."""

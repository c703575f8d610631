#!/bin/sh
# Install the system programs that some tests need, through apt-get, where that is possible.
# It never fails: a test that misses a program skips and says which package brings it.
set -u

missing=""
# Pairs of program and Debian package.
# virsh brings libvirt's schema; with QEMU and its driver it defines domains as libvirtd would, without one.
for pair in lspci:pciutils zsh:zsh fish:fish groff:groff-base mandoc:mandoc shellcheck:shellcheck cpio:cpio \
    systemd-analyze:systemd virsh:libvirt-clients qemu-system-x86_64:qemu-system-x86; do
    program=${pair%%:*}
    # lspci lives in /usr/bin or /sbin, which an ordinary user's PATH may lack.
    if ! PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null 2>&1; then
        missing="$missing ${pair#*:}"
    fi
done
[ -f /usr/share/bash-completion/bash_completion ] || missing="$missing bash-completion"
driver=$(ls /usr/lib*/libvirt/connection-driver/libvirt_driver_qemu.so \
    /usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so 2>/dev/null)
[ -n "$driver" ] || missing="$missing libvirt-daemon-driver-qemu"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing for the tests:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of package names
    if apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 </dev/null; then
        exit 0
    fi
    # Perhaps only the package lists are old or absent.
    # shellcheck disable=SC2086
    if apt-get update -qq >/dev/null 2>&1 </dev/null &&
        apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 </dev/null; then
        exit 0
    fi
    echo "apt-get could not install:$missing (the tests that need them will skip)" >&2
else
    echo "not installed, so some tests will skip:$missing" >&2
    echo "hint: as root: apt-get install$missing" >&2
fi
exit 0

import subprocess, pytest
from tests.lab.guest import kernel, cli, channel
from tests.lab.scenarios.test_blocked_unbind import *
pytestmark=[pytest.mark.topologies("workstation")]
def test_zz(blocked):
    g=kernel.group_of(blocked)
    out=subprocess.run(["sh","-c",f"ls -l /sys/bus/pci/devices/{blocked}/ /dev/vfio /sys/class/vfio /sys/class/vfio-dev /sys/kernel/iommu_groups/{g}/devices; dmesg|tail -5; ls -l /proc/*/fd | grep vfio; id; cat /proc/kallsyms | grep -c ."],capture_output=True,text=True)
    channel.bring_back("probe.txt",(out.stdout+out.stderr).encode())
    channel.bring_back("groups.json",cli.vfioctl("groups",f"group:{g}","--json").stdout.encode())
    channel.bring_back("show.txt",cli.vfioctl("show",blocked).stdout.encode())
def test_deaf():
    with kernel.given_to_vfio(["0000:03:00.0"]):
        for m in ("silent","deaf"):
            r=subprocess.run(["python3","-m","tests.lab.guest.holder","0000:03:00.0",m],capture_output=True,text=True,stdin=subprocess.DEVNULL)
            channel.bring_back(f"holder-{m}.txt",(r.stdout+r.stderr).encode())
@pytest.mark.topologies("server")
def test_unpriv():
    import json
    a=cli.document("groups", user=cli.NOBODY)["groups"]; b=cli.document("groups")["groups"]
    channel.bring_back("unpriv.txt","\n".join(json.dumps(x)+"\n"+json.dumps(y) for x,y in zip(a,b) if x!=y).encode())

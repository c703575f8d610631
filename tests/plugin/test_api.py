"""The generated protocol modules put on the wire what running kubelets were seen to send and take."""

from __future__ import annotations

import pytest

from vfioctl.plugin.api import deviceplugin_pb2, deviceplugin_pb2_grpc, podresources_pb2_grpc, pods_pb2_grpc
from vfioctl.plugin.api import registration_pb2_grpc as watcher_pb2_grpc

RECORDED_REQUEST = bytes.fromhex("0a040a026433")
RECORDED_RESPONSE = bytes.fromhex("0a140a120a0c505944505f444556494345531202" + "6433")


def test_an_allocate_request_has_the_bytes_that_a_kubelet_sent() -> None:
    """Recorded from a running kubelet: Allocate for the one device d3."""
    request = deviceplugin_pb2.AllocateRequest.FromString(RECORDED_REQUEST)

    assert [list(one.devices_ids) for one in request.container_requests] == [["d3"]]
    assert request.SerializeToString() == RECORDED_REQUEST


def test_an_allocate_response_has_the_bytes_that_a_kubelet_took() -> None:
    """Recorded from a running plugin: one variable in the environment."""
    response = deviceplugin_pb2.AllocateResponse(
        container_responses=[deviceplugin_pb2.ContainerAllocateResponse(envs={"PYDP_DEVICES": "d3"})]
    )

    assert response.SerializeToString() == RECORDED_RESPONSE


class _Recorder:
    """Stands in for a channel or a server: keeps the paths of the methods that are asked for or offered."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def unary_unary(self, path: str, **_settings: object) -> None:
        self.paths.append(path)

    unary_stream = unary_unary


@pytest.mark.parametrize(
    ("stub", "paths"),
    [
        (deviceplugin_pb2_grpc.RegistrationStub, {"/v1beta1.Registration/Register"}),
        (
            deviceplugin_pb2_grpc.DevicePluginStub,
            {
                "/v1beta1.DevicePlugin/GetDevicePluginOptions",
                "/v1beta1.DevicePlugin/ListAndWatch",
                "/v1beta1.DevicePlugin/GetPreferredAllocation",
                "/v1beta1.DevicePlugin/Allocate",
                "/v1beta1.DevicePlugin/PreStartContainer",
            },
        ),
        (
            watcher_pb2_grpc.RegistrationStub,
            {
                "/pluginregistration.Registration/GetInfo",
                "/pluginregistration.Registration/NotifyRegistrationStatus",
            },
        ),
        (
            podresources_pb2_grpc.PodResourcesListerStub,
            {
                "/v1.PodResourcesLister/List",
                "/v1.PodResourcesLister/GetAllocatableResources",
                "/v1.PodResourcesLister/Get",
            },
        ),
        (
            pods_pb2_grpc.PodsStub,
            {"/v1alpha1.Pods/WatchPods", "/v1alpha1.Pods/ListPods", "/v1alpha1.Pods/GetPod"},
        ),
    ],
)
def test_every_method_has_the_path_that_the_kubelet_uses(stub: type, paths: set[str]) -> None:
    """The proto package is part of the path: it must not be renamed."""
    channel = _Recorder()

    stub(channel)

    assert set(channel.paths) == paths

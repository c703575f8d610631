"""The kubelet's protocols: message classes and stubs, generated from the .proto files beside them."""

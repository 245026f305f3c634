"""Writes the networks of the predictions as ONNX files, from the first weights."""

import sys

import onnx
from onnx import TensorProto, helper, numpy_helper

from common import Work


def write(network):
    sys.argv[1] = f"one-{network}"
    work = Work("onnx")
    nodes, constants = [], []
    now = "images"

    def add(kind, layer=None, **settings):
        nonlocal now
        inputs = [now]
        if layer is not None:
            for part in ("weight", "bias"):
                inputs.append(f"{layer}.{part}")
                constants.append(numpy_helper.from_array(work.weights()[inputs[-1]], inputs[-1]))
        now = f"{kind.lower()}{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [now], **settings))

    if network == "mlp":
        dense = [1, 3, 5]
    else:
        for layer in (0, 3):
            add("Conv", layer, kernel_shape=[5, 5])
            add("Relu")
            add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        add("Flatten", axis=1)
        dense = [7, 9, 11]
    for layer in dense:
        add("Gemm", layer, transB=1)
        if layer != dense[-1]:
            add("Relu")
    add("Softmax", axis=1)
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", *work.shape])
    output = helper.make_tensor_value_info(now, TensorProto.FLOAT, ["n", 10])
    graph = helper.make_graph(nodes, network, [image], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, work.file("onnx"))


sys.argv.insert(1, "")
for name in ("mlp", "lenet"):
    write(name)

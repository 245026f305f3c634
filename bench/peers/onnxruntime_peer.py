"""onnxruntime, on its CPU provider. Variants for a single image: none, or one-thread."""

import onnxruntime

from common import CHECKED_IMAGES, Work

work = Work("onnxruntime")
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1 if work.variant == "one-thread" else work.threads
options.inter_op_num_threads = 1
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
session = onnxruntime.InferenceSession(work.file("onnx"), options, ["CPUExecutionProvider"])
x, _ = work.samples()
run = lambda images: session.run(None, {"images": images})[0]
work.report["outputs"] = run(x[:CHECKED_IMAGES]).flatten().tolist()
if work.batch == 1:
    work.calls(lambda i: run(x[i : i + 1]))
else:
    work.passes(lambda first, end: run(x[first:end]))
work.print(onnxruntime.__version__)

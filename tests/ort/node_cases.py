#!/usr/bin/env python3
"""ONNX's own node tests, one folder per case, for `cargo test -p llmc-tests --test conformance`.

    node_cases.py DIR

The layout is that of the backend test data of ONNX:

    DIR/NAME/model.onnx
    DIR/NAME/case.json                     {"rtol": .., "atol": ..}
    DIR/NAME/test_data_set_0/input_0.pb    a serialised TensorProto; of a sequence or an optional, a SequenceProto
    DIR/NAME/test_data_set_0/output_0.pb   or OptionalProto. In the order of the graph's inputs and outputs.

TensorProto holds every element type, also those that NumPy lacks (bfloat16, float8, int4 ...): little endian, and
of types below eight bits several elements in one byte, the lowest bits first. Needs onnx==1.23.2.
"""

import json
import pathlib
import sys
import warnings

import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests


def message(value, info):
    if isinstance(value, onnx.TensorProto):
        return value
    kind = info.type.WhichOneof("value")
    convert = {
        "tensor_type": numpy_helper.from_array,
        "sequence_type": numpy_helper.from_list,
        "optional_type": numpy_helper.from_optional,
        "map_type": numpy_helper.from_dict,
    }
    return convert[kind](value, info.name)


def write(folder, case):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    (folder / "case.json").write_text(json.dumps({"rtol": case.rtol, "atol": case.atol}))
    for i, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{i}"
        data.mkdir(exist_ok=True)
        graph = case.model.graph
        for name, values, infos in [("input", inputs, graph.input), ("output", outputs, graph.output)]:
            for j, (value, info) in enumerate(zip(values, infos)):
                (data / f"{name}_{j}.pb").write_bytes(message(value, info).SerializeToString())


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    warnings.simplefilter("ignore")
    folder = pathlib.Path(sys.argv[1])
    cases = load_model_tests(kind="node")
    for case in cases:
        write(folder / case.name, case)
    print(f"{len(cases)} cases in {folder}")


if __name__ == "__main__":
    main()

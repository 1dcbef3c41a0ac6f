#!/usr/bin/env python3
"""Cases of ONNX Runtime's own operators (com.microsoft), with what it computes, for `cargo test -p llmc-tests --test contrib`.

    contrib_cases.py DIR        DIR is tests/cases/contrib

Each case is NAME.onnx, one node on a few numbers, and NAME.npz, its inputs and outputs by name. Needs onnx and onnxruntime.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

RANDOM = np.random.default_rng(7)
BATCH, TOKENS, HEADS, WIDTH = 2, 5, 2, 8
HIDDEN = HEADS * WIDTH


def normal(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def cases():
    """Name, operator, attributes, operands (a tuple is a constant, None absent), number of results."""
    x, wide = normal(BATCH, TOKENS, HIDDEN), (normal(HIDDEN, 3 * HIDDEN) / 4,)
    bias = (normal(3 * HIDDEN),)
    shown = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    heads = {"num_heads": HEADS}
    yield "attention", "Attention", heads, [x, wide, bias], 1
    yield "attention_causal", "Attention", {**heads, "unidirectional": 1}, [x, wide, bias], 1
    yield "attention_mask", "Attention", heads, [x, wide, bias, shown], 1
    yield "attention_lengths", "Attention", heads, [x, wide, bias, np.array([3, 5], np.int32)], 1
    added = normal(BATCH, HEADS, TOKENS, TOKENS)
    yield "attention_bias", "Attention", {**heads, "scale": 0.3}, [x, wide, bias, None, None, added], 1
    sizes = {"qkv_hidden_sizes": [HIDDEN, HIDDEN, 2 * HIDDEN]}
    longer = [(normal(HIDDEN, 4 * HIDDEN) / 4,), (normal(4 * HIDDEN),)]
    yield "attention_sizes", "Attention", {**heads, **sizes}, [x, *longer], 1

    q, k, v = (normal(BATCH, n, HIDDEN) for n in (TOKENS, 7, 7))
    yield "multi_head", "MultiHeadAttention", heads, [q, k, v], 1
    yield "multi_head_bias", "MultiHeadAttention", heads, [q, k, v, bias], 1
    padding = np.array([[1] * 4 + [0] * 3, [1] * 7], np.int32)
    yield "multi_head_padding", "MultiHeadAttention", heads, [q, k, v, None, padding], 1
    added = normal(1, HEADS, TOKENS, 7)
    yield "multi_head_added", "MultiHeadAttention", heads, [q, k, v, None, None, added], 1
    # ONNX Runtime packs and unpacks on GPUs only: the same without packing is the oracle.
    packed = normal(BATCH, TOKENS, HEADS, 3, WIDTH)
    parts = [packed[:, :, :, i].reshape(BATCH, TOKENS, HIDDEN) for i in range(3)]
    yield "multi_head_packed", "MultiHeadAttention", heads, [packed], 1, parts
    packed = normal(BATCH, 7, HEADS, 2, WIDTH)
    parts = [q, *(packed[:, :, :, i].reshape(BATCH, 7, HIDDEN) for i in range(2))]
    yield "multi_head_packed_kv", "MultiHeadAttention", heads, [q, packed], 1, parts
    own = [normal(BATCH, TOKENS, HIDDEN) for _ in range(3)]
    yield "multi_head_causal", "MultiHeadAttention", {**heads, "unidirectional": 1}, own, 1
    past = [normal(BATCH, HEADS, 3, WIDTH) for _ in range(2)]
    yield "multi_head_past", "MultiHeadAttention", heads, [*own, None, None, None, *past], 3

    weight, shift = (normal(HIDDEN),), (normal(HIDDEN),)
    skip = normal(BATCH, TOKENS, HIDDEN)
    yield "skip_layer_norm", "SkipLayerNormalization", {"epsilon": 1e-5}, [x, skip, weight, shift], 1
    yield "skip_layer_norm_bias", "SkipLayerNormalization", {}, [x, skip, weight, shift, (normal(HIDDEN),)], 1
    yield "skip_rms_norm", "SkipSimplifiedLayerNormalization", {}, [x, skip, weight], 1
    ids = RANDOM.integers(0, 11, (BATCH, TOKENS)).astype(np.int32)
    kinds = RANDOM.integers(0, 2, (BATCH, TOKENS)).astype(np.int32)
    tables = [(normal(11, HIDDEN),), (normal(9, HIDDEN),), (normal(2, HIDDEN),)]
    yield "embed", "EmbedLayerNormalization", {"epsilon": 1e-5}, [ids, kinds, *tables, weight, shift, shown], 2
    yield "embed_tokens", "EmbedLayerNormalization", {}, [ids, None, *tables[:2], None, weight, shift], 2

    yield "bias_gelu", "BiasGelu", {}, [x, (normal(HIDDEN),)], 1
    yield "fast_gelu", "FastGelu", {}, [x, (normal(HIDDEN),)], 1
    yield "quick_gelu", "QuickGelu", {"alpha": 1.5}, [x], 1

    a, b = normal(3, 6, 4), normal(3, 5, 6)
    yield "fused_matmul", "FusedMatMul", {"transA": 1, "transB": 1, "alpha": 0.5}, [a, b], 1
    gemm = [normal(4, 6), (normal(5, 6),), (normal(5),)]
    for activation in ("Relu", "LeakyRelu", "Sigmoid", "Tanh"):
        attributes = {"activation": activation, "transB": 1, "alpha": 0.5, "beta": 2.0}
        if activation == "LeakyRelu":
            attributes["activation_alpha"] = 0.2
        yield f"fused_gemm_{activation.lower()}", "FusedGemm", attributes, gemm, 1
    image, kernel = normal(1, 3, 6, 6), (normal(4, 3, 3, 3) / 4,)
    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    yield "fused_conv", "FusedConv", {**conv, "activation": "Relu"}, [image, kernel, (normal(4),)], 1
    clip = {**conv, "activation": "Clip", "activation_params": [-0.5, 0.75]}
    yield "fused_conv_clip", "FusedConv", clip, [image, kernel, (normal(4),)], 1

    angles = np.arange(16)[:, None] * (0.3 ** np.arange(WIDTH // 2))
    cos, sin = ((f(angles).astype(np.float32),) for f in (np.cos, np.sin))
    places = (np.arange(3, 3 + TOKENS)[None],)
    for interleaved in (0, 1):
        attributes = {"interleaved": interleaved}
        yield f"rotary_{interleaved}", "RotaryEmbedding", attributes, [x[:1], places, cos, sin], 1
    part = {"rotary_embedding_dim": WIDTH // 2, "num_heads": HEADS}
    half = [(t[0][:, : WIDTH // 4].copy(),) for t in (cos, sin)]
    yield "rotary_part", "RotaryEmbedding", part, [x[:1], places, *half], 1

    for bits in (2, 4, 8):
        # No kernel takes 8 bits with zero points of floats.
        for zeros in (None, "codes", "floats")[: 2 if bits == 8 else 3]:
            yield nbits(bits, zeros, bias=zeros is None)
    yield gathered(4)
    yield gathered(8)
    yield from mixtures()


def nbits(bits, zeros, bias):
    n, k, block = 6, 40, 16
    blocks, a = -(-k // block), normal(3, k)
    codes = RANDOM.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8)
    operands = [a, (codes,), (normal(n, blocks) / 2**bits,)]
    if zeros == "codes":
        operands.append((RANDOM.integers(0, 256, (n, -(-blocks * bits // 8))).astype(np.uint8),))
    elif zeros == "floats":
        operands.append((RANDOM.integers(0, 2**bits, (n, blocks)).astype(np.float32),))
    if bias:
        operands += [None, None, (normal(n),)]
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block}
    return f"nbits_{bits}_{zeros or 'bias'}", "MatMulNBits", attributes, operands, 1


def gathered(bits):
    rows, columns, block = 9, 64, 32
    codes = RANDOM.integers(0, 256, (rows, columns * bits // 8)).astype(np.uint8)
    zeros = RANDOM.integers(0, 256, (rows, columns // block * bits // 8)).astype(np.uint8)
    ids = RANDOM.integers(0, rows, (BATCH, TOKENS))
    attributes = {"bits": bits, "block_size": block, "gather_axis": 0, "quantize_axis": 1}
    operands = [(codes,), ids, (normal(rows, columns // block),), (zeros,)]
    return f"gather_{bits}", "GatherBlockQuantized", attributes, operands, 1


def mixtures():
    """Mixtures of experts: each token goes to two of four."""
    tokens, experts, inner = 6, 4, 24
    x, router = normal(tokens, HIDDEN), normal(tokens, experts)
    first, second = ((normal(experts, *shape) / 4,) for shape in ((inner, HIDDEN), (HIDDEN, inner)))
    biases = [(normal(experts, n),) for n in (inner, HIDDEN)]
    operands = [x, router, first, biases[0], second, biases[1]]
    chosen = {"k": 2}
    for name, attributes in (("relu", {"activation_type": "relu"}), ("silu", {"activation_type": "silu", "normalize_routing_weights": 1})):
        yield f"moe_{name}", "MoE", {**chosen, **attributes}, operands, 1
    both = (normal(experts, 2 * inner, HIDDEN) / 4,)
    swiglu = {"activation_type": "swiglu", "swiglu_fusion": 1, "swiglu_limit": 7.0, "activation_alpha": 1.702, "activation_beta": 1.0,
              "normalize_routing_weights": 1}
    yield "moe_swiglu", "MoE", {**chosen, **swiglu}, [x, router, both, (normal(experts, 2 * inner),), second, biases[1]], 1


def model_of(name, op, attributes, operands, results):
    """A model of one node, and what it is fed."""
    inputs, constants, feeds, names = [], [], {}, []
    for i, operand in enumerate(operands):
        if operand is None:
            names.append("")
            continue
        names.append(f"x{i}")
        if isinstance(operand, tuple):
            constants.append(numpy_helper.from_array(operand[0], f"x{i}"))
        else:
            feeds[f"x{i}"] = operand
            kind = helper.np_dtype_to_tensor_dtype(operand.dtype)
            inputs.append(helper.make_tensor_value_info(f"x{i}", kind, operand.shape))
    outputs = [f"y{i}" for i in range(results)]
    node = helper.make_node(op, names, outputs, name=name, domain="com.microsoft", **attributes)
    infos = [onnx.ValueInfoProto(name=o) for o in outputs]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], name, inputs, infos, constants)
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), feeds


def write(folder, name, op, attributes, operands, results, oracle=None):
    model, feeds = model_of(name, op, attributes, operands, results)
    same, fed = model_of(name, op, attributes, oracle or operands, results)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(same.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = session.run(None, fed)
    for info, value in zip(model.graph.output, found):
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        info.CopyFrom(helper.make_tensor_value_info(info.name, kind, value.shape))
    onnx.save(model, folder / f"{name}.onnx")
    np.savez(folder / f"{name}.npz", **feeds, **{f"y{i}": value for i, value in enumerate(found)})


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases():
        write(folder, *case)


if __name__ == "__main__":
    main()

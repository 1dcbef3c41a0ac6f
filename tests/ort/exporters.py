"""The ways in which users export a Hugging Face folder to ONNX. A style is a name:

optimum                                     the TorchScript exporter, through optimum
torchscript                                 the TorchScript exporter
dynamo18, dynamo20, ..                      torch.onnx.export(dynamo=True) at that opset
genai-PRECISION-EP[+KEY=VALUE]..            the model builder of onnxruntime-genai, for example genai-int4-cpu+block_size=64
mobius-EP[+static][+f16 or +bf16]           mobius, for example mobius-default+static
STYLE@STEP                                  another style's file after a step of ONNX Runtime: basic, extended (its optimiser), transformers,
                                            fp16, dynamic, static (quantisers), nbits4-32, nbits4-32-qdq (bits and block size)

The model builder 0.18 and mobius 0.1 need transformers 5 and a tokenizer in the folder, which `tokenizer` fakes.
"""
import inspect
import json
import subprocess
import sys

import numpy as np


def run(command):
    """Runs a command; its last words if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(" / ".join(words[:4] if "llmc" in str(command[0]) else words[-1:]))
    return done.stdout


def tokenizer(folder, vocabulary):
    """A tokenizer of as many words, which the model builder asks for."""
    words = {"version": "1.0", "model": {"type": "WordLevel", "unk_token": "t3", "vocab": {f"t{i}": i for i in range(vocabulary)}}}
    (folder / "tokenizer.json").write_text(json.dumps(words))
    special = dict(tokenizer_class="PreTrainedTokenizerFast", pad_token="t0", bos_token="t1", eos_token="t2")
    (folder / "tokenizer_config.json").write_text(json.dumps(special))


def export(folder, style, to):
    """Exports a Hugging Face folder; `to` is the folder of the ONNX file."""
    base, _, step = style.rpartition("@")
    if base:
        if not (to.parent / base / "model.onnx").exists():
            export(folder, base, to.parent / base)
        to.mkdir(parents=True, exist_ok=True)
        return after(to.parent / base / "model.onnx", step, to / "model.onnx")
    kind, *options = style.split("+")
    if kind == "optimum":
        arguments = ["-m", "optimum.exporters.onnx", "--model", folder, "--task", "text-generation-with-past", to]
    elif kind.startswith("genai-"):
        _, precision, provider = kind.split("-")
        arguments = ["-m", "onnxruntime_genai.models.builder", "-i", folder, "-o", to, "-p", precision, "-e", provider, "-c", to]
        arguments += ["--extra_options", *options] if options else []
    elif kind.startswith("mobius-"):
        arguments = ["-m", "mobius", "build", "--config", folder, to, "--ep", kind.removeprefix("mobius-")]
        for option in options:
            arguments += ["--static-cache", "--max-seq-len", "64"] if option == "static" else ["--dtype", option]
    else:
        return export_with_torch(folder, None if kind == "torchscript" else int(style.removeprefix("dynamo")), to)
    return run([sys.executable, *arguments])


def after(model, step, to):
    """A file after a step of ONNX Runtime's tools."""
    import onnx
    import onnxruntime as ort
    from onnxruntime import quantization as quant
    if step in ("basic", "extended"):
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{step.upper()}")
        options.optimized_model_filepath = str(to)
        ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    elif step == "transformers":
        from onnxruntime.transformers import optimizer
        optimizer.optimize_model(str(model), "gpt2", opt_level=0).save_model_to_file(str(to))
    elif step == "fp16":
        from onnxruntime.transformers.float16 import convert_float_to_float16
        onnx.save(convert_float_to_float16(onnx.load(model), keep_io_types=True), to)
    elif step == "dynamic":
        quant.quantize_dynamic(model, to, weight_type=quant.QuantType.QInt8, per_channel=True, reduce_range=True)
    elif step == "static":
        kinds = dict(activation_type=quant.QuantType.QUInt8, weight_type=quant.QuantType.QInt8)
        quant.quantize_static(model, to, calibration(model), per_channel=True, op_types_to_quantize=["MatMul", "Gemm"], **kinds)
    else:
        from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
        bits, block, *form = step.removeprefix("nbits").split("-")
        form = quant.QuantFormat.QDQ if form else quant.QuantFormat.QOperator
        how = DefaultWeightOnlyQuantConfig(block_size=int(block), bits=int(bits), quant_format=form)
        quantizer = MatMulNBitsQuantizer(onnx.load(model), bits=int(bits), block_size=int(block), algo_config=how)
        quantizer.process()
        quantizer.model.save_model_to_file(str(to), False)


def feeds(session, tokens, head_dim=None, capacity=0):
    """Inputs of a session for these tokens: caches are empty, or buffers of some capacity. Some files leave the head size open."""
    count = tokens.shape[1]
    known = {"input_ids": tokens, "attention_mask": np.ones((1, count)), "position_ids": np.arange(count)[None],
             "write_indices": np.array([0]), "nonpad_kv_seqlen": np.array([count])}
    kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
    found = {}
    for value in session.get_inputs():
        open_extents = {"kv_cache_dim": head_dim}
        extents = [1 if i == 0 else d if isinstance(d, int) else open_extents.get(d, capacity) for i, d in enumerate(value.shape)]
        array = known[value.name] if value.name in known else np.zeros(extents)
        found[value.name] = array.astype(kinds[value.type])
    return found


def calibration(model):
    """Random tokens for the static quantiser."""
    import onnxruntime as ort
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self):
            session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
            draws = np.random.default_rng(0)
            self.rest = iter([feeds(session, draws.integers(3, 300, (1, 16))) for _ in range(6)])

        def get_next(self):
            return next(self.rest, None)

    return Reader()


def loop_over_all_experts():
    """A mixture of experts that depends on no count of tokens: transformers before 4.54, and what optimum puts in its place."""
    from optimum.exporters.onnx import model_patcher
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock
    MixtralSparseMoeBlock.norm_topk_prob = True
    MixtralSparseMoeBlock.forward = model_patcher.qwen3_moe_forward_patched


def export_with_torch(folder, opset, to):
    """torch.onnx.export of the model with its cache as flat inputs and outputs: with TorchScript if there is no operator set."""
    import torch
    import transformers
    from transformers.cache_utils import DynamicCache

    class WithCache(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, position_ids, past):
            cache = DynamicCache()
            for layer, (key, value) in enumerate(past):
                cache.update(key, value, layer)
            positions = {"position_ids": position_ids} if positioned else {}
            found = self.model(input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True,
                               **positions)
            layers = found.past_key_values.layers[: len(past)]
            return found.logits, *[tensor for layer in layers for tensor in (layer.keys, layer.values)]

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
    positioned = "position_ids" in inspect.signature(model.forward).parameters
    with torch.no_grad():
        cache = model(torch.ones(2, 4, dtype=torch.int64), use_cache=True, past_key_values=DynamicCache()).past_key_values
    past = [(torch.randn(layer.keys.shape), torch.randn(layer.values.shape)) for layer in cache.layers]
    arguments = (torch.randint(0, model.config.vocab_size, (2, 3)), torch.ones(2, 7, dtype=torch.int64),
                 torch.arange(4, 7).repeat(2, 1), past)
    dim = torch.export.Dim
    batch, seq, old = dim("batch_size"), dim("sequence_length"), dim("past_sequence_length")
    cached = [({0: batch, 2: old}, {0: batch, 2: old}) for _ in past]
    shapes = ({0: batch, 1: seq}, {0: batch, 1: dim.AUTO}, {0: batch, 1: seq}, cached)
    names = lambda what: [f"{what}.{i}.{part}" for i in range(len(past)) for part in ("key", "value")]
    inputs = ["input_ids", "attention_mask", "position_ids", *names("past_key_values")]
    outputs = ["logits", *names("present")]
    to.mkdir(parents=True, exist_ok=True)
    if opset is None:
        loop_over_all_experts()
        axes = {name: {0: "batch_size", 1: "sequence_length"} for name in inputs[:3]}
        axes["attention_mask"][1] = "past_sequence_length + sequence_length"
        axes |= {name: {0: "batch_size", 2: "past_sequence_length"} for name in inputs[3:]}
        torch.onnx.export(WithCache(model), arguments, str(to / "model.onnx"), dynamo=False, opset_version=17,
                          dynamic_axes=axes, input_names=inputs, output_names=outputs)
        return
    program = torch.onnx.export(
        WithCache(model), arguments, dynamo=True, opset_version=opset, dynamic_shapes=shapes, optimize=True,
        input_names=inputs, output_names=outputs)
    program.save(str(to / "model.onnx"))

"""Families of language models, exported afresh, against ONNX Runtime.

usage: families.py LLMC OUT_DIR [FAMILY..] [--styles optimum,dynamo18,dynamo23] [--chips ideal,edge]

Makes a small random model of each family with `transformers`, exports it the ways its users do (unless the file is in
OUT_DIR already), lets ONNX Runtime compute logits, compiles, and compares logits by prefill and by decode. Prints one
line for each file; exits with 1 if one is wrong or does not compile. Files in OUT_DIR are reused, so that only the
first run needs torch, transformers, optimum and mobius.
"""
import argparse
import pathlib
import subprocess
import sys

import numpy as np

LAYERS, HIDDEN, VOCABULARY, TOKENS = 2, 64, 320, 24
TOLERANCE = 1e-3  # of the range of the logits

COMMON = dict(vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=4,
              intermediate_size=144, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)
GROUPED = dict(COMMON, num_key_value_heads=2)
# What each family's configuration adds to the common one, and the class it belongs to.
FAMILIES = {
    "llama": ("Llama", GROUPED),
    "mistral": ("Mistral", dict(GROUPED, sliding_window=16)),
    "qwen2": ("Qwen2", GROUPED),
    "qwen3": ("Qwen3", dict(GROUPED, head_dim=16)),
    "gemma2": ("Gemma2", dict(GROUPED, head_dim=16, sliding_window=16, query_pre_attn_scalar=16)),
    "gemma3": ("Gemma3Text", dict(GROUPED, head_dim=16, sliding_window=16, query_pre_attn_scalar=16)),
    "phi": ("Phi", dict(COMMON, partial_rotary_factor=0.5)),
    "phi3": ("Phi3", dict(GROUPED, sliding_window=None)),
    "gpt2": ("GPT2", dict(vocab_size=VOCABULARY, n_embd=HIDDEN, n_layer=LAYERS, n_head=4, n_positions=128)),
    "gpt_neox": ("GPTNeoX", dict(COMMON, rotary_pct=0.25)),
    "falcon": ("Falcon", dict(COMMON, multi_query=True, parallel_attn=True, alibi=False, bias=False)),
    "olmo2": ("Olmo2", GROUPED),
    "granite": ("Granite", dict(GROUPED, embedding_multiplier=12.0, residual_multiplier=0.22, attention_multiplier=0.2,
                                logits_scaling=8.0)),
    "starcoder2": ("Starcoder2", dict(GROUPED, sliding_window=None, use_bias=True)),
    "stablelm": ("StableLm", dict(GROUPED, partial_rotary_factor=0.25)),
    "cohere": ("Cohere", GROUPED),
    "mixtral": ("Mixtral", dict(GROUPED, num_local_experts=4, num_experts_per_tok=2, sliding_window=None)),
    "olmoe": ("Olmoe", dict(GROUPED, num_experts=4, num_experts_per_tok=2)),
    "gpt_oss": ("GptOss", dict(GROUPED, head_dim=16, num_local_experts=4, num_experts_per_tok=2, sliding_window=16)),
    "qwen3_moe": ("Qwen3Moe", dict(GROUPED, head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=48)),
}


def random_model(family, folder):
    """A model with weights wide enough that attention and norms matter, as a Hugging Face folder."""
    import torch
    import transformers
    kind, options = FAMILIES[family]
    config = getattr(transformers, f"{kind}Config")(**options)
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            centre = 1.0 if "norm" in name and name.endswith("weight") and "gemma" not in family else 0.0
            torch.nn.init.normal_(weight, centre, 0.15)
    model.save_pretrained(folder)


def export(folder, style, to):
    """Exports a Hugging Face folder; `to` is the folder of the ONNX file."""
    if style == "optimum":
        arguments = ["-m", "optimum.exporters.onnx", "--model", str(folder), "--task", "text-generation-with-past", str(to)]
        return run([sys.executable, *arguments])
    if style == "mobius":
        return run([pathlib.Path(sys.executable).with_name("mobius"), "build", "--config", folder, to])
    if style == "torchscript":
        return export_with_torch(folder, None, to)
    return export_with_torch(folder, int(style.removeprefix("dynamo")), to)


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
            found = self.model(input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids,
                               past_key_values=cache, use_cache=True)
            layers = found.past_key_values.layers[: len(past)]
            return found.logits, *[tensor for layer in layers for tensor in (layer.keys, layer.values)]

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32).eval()
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    if getattr(config, "multi_query", False):
        heads = 1
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    past = [tuple(torch.randn(2, heads, 4, width) for _ in range(2)) for _ in range(LAYERS)]
    arguments = (torch.randint(0, VOCABULARY, (2, 3)), torch.ones(2, 7, dtype=torch.int64),
                 torch.arange(4, 7).repeat(2, 1), past)
    dim = torch.export.Dim
    batch, seq, old = dim("batch_size"), dim("sequence_length"), dim("past_sequence_length")
    cached = [({0: batch, 2: old}, {0: batch, 2: old}) for _ in range(LAYERS)]
    shapes = ({0: batch, 1: seq}, {0: batch, 1: dim.AUTO}, {0: batch, 1: seq}, cached)
    names = lambda what: [f"{what}.{i}.{part}" for i in range(LAYERS) for part in ("key", "value")]
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


def reference(model):
    """Tokens and the logits that ONNX Runtime computes for them, with an empty cache and optimisations off."""
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    tokens = np.random.default_rng(0).integers(3, VOCABULARY, (1, TOKENS))
    feeds = {"input_ids": tokens, "attention_mask": np.ones((1, TOKENS), np.int64), "position_ids": np.arange(TOKENS)[None]}
    wanted = {}
    for value in session.get_inputs():
        if value.name in feeds:
            wanted[value.name] = feeds[value.name]
        else:
            fixed = [1 if i == 0 else dim if isinstance(dim, int) else 0 for i, dim in enumerate(value.shape)]
            wanted[value.name] = np.zeros(fixed, np.float32)
    return tokens, session.run(["logits"], wanted)[0]


def run(command):
    """Runs a command; its last words if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(" / ".join(words[:4] if "llmc" in str(command[0]) else words[-1:]))
    return done.stdout


def compare(llmc, model, chips, scratch):
    """The worst difference over all chips and both ways, as a share of the range of the logits."""
    tokens, logits = reference(model)
    np.save(scratch / "ids.npy", tokens)
    worst = 0.0
    for chip in chips:
        program = scratch / "m.llmc"
        run([llmc, "compile", model, "-o", program, *chip.split(), "--max-context", 64, "--prefill", 16])
        for way in ("prefill", "decode"):
            run([llmc, "eval", program, "--tokens", scratch / "ids.npy", "--logits", scratch / "l.npy", "--via", way])
            found = np.load(scratch / "l.npy")
            difference = np.abs(found - logits).max() / (logits.max() - logits.min())
            worst = max(worst, float(difference) if np.isfinite(difference) else np.inf)
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llmc")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--styles", default="optimum,dynamo18,dynamo23")
    parser.add_argument("--chips", default="--chip ideal,--chip edge,--chip edge --set core.sram_kib=64")
    parser.add_argument("--export-only", action="store_true")
    options = parser.parse_args()
    failed = False
    for family in options.families or FAMILIES:
        for style in options.styles.split(","):
            folder = options.out / family
            model = folder / style / "model.onnx"
            try:
                if not (folder / "hf" / "config.json").exists():
                    random_model(family, folder / "hf")
                if not model.exists():
                    export(folder / "hf", style, folder / style)
            except Exception as error:  # whatever an exporter throws
                print(f"{family:12} {style:10} not exported: {str(error).strip().splitlines()[-1:]}", flush=True)
                continue
            if options.export_only:
                continue
            try:
                worst = compare(options.llmc, model, options.chips.split(","), options.out)
                failed |= worst > TOLERANCE
                print(f"{family:12} {style:10} {'ok' if worst <= TOLERANCE else 'WRONG'} {worst:.1e}", flush=True)
            except RuntimeError as error:
                failed = True
                print(f"{family:12} {style:10} error: {error}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()

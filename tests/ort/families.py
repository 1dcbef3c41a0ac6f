"""Families of language models, exported afresh, against ONNX Runtime.

usage: families.py LLMC OUT_DIR [FAMILY..] [--styles optimum,dynamo18,dynamo23] [--chips ideal,edge]

Makes a small random model of each family with `transformers`, exports it the ways its users do (unless the file is in
OUT_DIR already), lets ONNX Runtime compute logits, compiles, and compares logits by prefill and by decode. Prints one
line for each file, with what was fused in all layers together; exits with 1 if one is wrong or does not compile. Files in OUT_DIR are reused, so that only the
first run needs torch, transformers, optimum and mobius.
"""
import argparse
import collections
import inspect
import pathlib
import re
import subprocess
import sys

import numpy as np

LAYERS, HIDDEN, VOCABULARY, TOKENS = 2, 64, 320, 24
TOLERANCE = 1e-3  # of the range of the logits

COMMON = dict(vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=4,
              intermediate_size=144, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)
GROUPED = dict(COMMON, num_key_value_heads=2)
SHORT = dict(vocab_size=VOCABULARY, n_embd=HIDDEN, n_layer=LAYERS, n_head=4, n_positions=128)
# Latent attention: queries and keys are wider than values; all layers are dense.
LATENT = dict(num_key_value_heads=4, first_k_dense_replace=LAYERS, q_lora_rank=32, kv_lora_rank=24, qk_rope_head_dim=8, qk_nope_head_dim=16, v_head_dim=16,
              n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1)
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
    "gpt_neox_sequential": ("GPTNeoX", dict(COMMON, rotary_pct=1.0, use_parallel_residual=False)),
    "gptj": ("GPTJ", dict(SHORT, n_inner=144, rotary_dim=8)),
    "codegen": ("CodeGen", dict(SHORT, n_inner=144, rotary_dim=8)),
    "gpt_neo": ("GPTNeo", dict(vocab_size=VOCABULARY, hidden_size=HIDDEN, num_layers=LAYERS, num_heads=4, window_size=16,
                               attention_types=[[["global", "local"], 1]], max_position_embeddings=128)),
    "gpt_bigcode": ("GPTBigCode", dict(SHORT, n_inner=144, multi_query=True)),
    "opt": ("OPT", dict(COMMON, ffn_dim=144, word_embed_proj_dim=HIDDEN)),
    "opt_projected": ("OPT", dict(COMMON, ffn_dim=144, word_embed_proj_dim=32, do_layer_norm_before=False)),
    "bloom": ("Bloom", dict(vocab_size=VOCABULARY, hidden_size=HIDDEN, n_layer=LAYERS, n_head=4)),
    "mpt": ("Mpt", dict(vocab_size=VOCABULARY, d_model=HIDDEN, n_layers=LAYERS, n_heads=4, expansion_ratio=2, max_seq_len=128)),
    "xglm": ("XGLM", dict(vocab_size=VOCABULARY, d_model=HIDDEN, ffn_dim=144, num_layers=LAYERS, attention_heads=4,
                          max_position_embeddings=128)),
    "biogpt": ("BioGpt", COMMON),
    "falcon_alibi": ("Falcon", dict(COMMON, multi_query=False, parallel_attn=False, alibi=True, bias=True)),
    "falcon_grouped": ("Falcon", dict(COMMON, num_kv_heads=2, new_decoder_architecture=True, alibi=False, bias=False)),
    "phi3_long": ("Phi3", dict(GROUPED, sliding_window=None, original_max_position_embeddings=32, rope_scaling=dict(
        type="longrope", short_factor=[1.0 + 0.1 * i for i in range(8)], long_factor=[1.5 + i for i in range(8)]))),
    "phi3_partial": ("Phi3", dict(GROUPED, sliding_window=None, partial_rotary_factor=0.5)),
    "llama31": ("Llama", dict(GROUPED, rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                                         original_max_position_embeddings=32))),
    "llama_yarn": ("Llama", dict(GROUPED, rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32))),
    "llama_linear": ("Llama", dict(GROUPED, rope_scaling=dict(rope_type="linear", factor=4.0))),
    "llama_dynamic": ("Llama", dict(GROUPED, rope_scaling=dict(rope_type="dynamic", factor=4.0))),
    "llama_biased": ("Llama", dict(GROUPED, attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    "gemma": ("Gemma", dict(GROUPED, head_dim=16)),
    "gemma3_long": ("Gemma3Text", dict(GROUPED, num_hidden_layers=6, head_dim=16, sliding_window=16, query_pre_attn_scalar=16,
                                       rope_scaling=dict(rope_type="linear", factor=8.0))),
    "vaultgemma": ("VaultGemma", dict(GROUPED, head_dim=16, sliding_window=16, query_pre_attn_scalar=16)),
    "cohere_normed": ("Cohere", dict(GROUPED, use_qk_norm=True)),
    "cohere2": ("Cohere2", dict(GROUPED, num_hidden_layers=4, sliding_window=16)),
    "nemotron": ("Nemotron", dict(GROUPED, head_dim=16)),
    "smollm3": ("SmolLM3", dict(GROUPED, num_hidden_layers=4, no_rope_layer_interval=4)),
    "exaone4": ("Exaone4", dict(GROUPED, num_hidden_layers=4, sliding_window=16, sliding_window_pattern=4)),
    "persimmon": ("Persimmon", COMMON),
    "glm": ("Glm", dict(GROUPED, head_dim=16)),
    "glm4": ("Glm4", dict(GROUPED, head_dim=16)),
    "olmo": ("Olmo", dict(GROUPED, clip_qkv=2.0)),
    "olmo3": ("Olmo3", dict(GROUPED, num_hidden_layers=4, sliding_window=16)),
    "ernie": ("Ernie4_5", dict(GROUPED, head_dim=16)),
    "helium": ("Helium", dict(GROUPED, head_dim=16)),
    "arcee": ("Arcee", GROUPED),
    "seed_oss": ("SeedOss", dict(GROUPED, head_dim=16)),
    "hunyuan": ("HunYuanDenseV1", dict(GROUPED, head_dim=16)),
    "apertus": ("Apertus", GROUPED),
    "ministral": ("Ministral", dict(GROUPED, head_dim=16, sliding_window=16)),
    "bitnet": ("BitNet", GROUPED),
    "diffllama": ("DiffLlama", GROUPED),
    "stablelm_normed": ("StableLm", dict(GROUPED, partial_rotary_factor=0.25, qk_layernorm=True, use_parallel_residual=True)),
    "phi_normed": ("Phi", dict(GROUPED, partial_rotary_factor=0.5, qk_layernorm=True)),
    "modernbert_decoder": ("ModernBertDecoder", dict(COMMON, local_attention=16)),
    "deepseek_v2": ("DeepseekV2", dict(COMMON, **LATENT)),
    "deepseek_v3": ("DeepseekV3", dict(COMMON, **LATENT)),
    "mamba": ("Mamba", dict(vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=LAYERS)),
    "mixtral": ("Mixtral", dict(GROUPED, num_local_experts=4, num_experts_per_tok=2, sliding_window=None)),
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
            centre = 1.0 if bool((weight == 1).all()) else 0.0  # as it starts: gains of norms, unless they add 1 themselves
            torch.nn.init.normal_(weight, centre, 0.15)
    model.save_pretrained(folder)


def export(folder, style, to):
    """Exports a Hugging Face folder; `to` is the folder of the ONNX file."""
    if style == "optimum":
        arguments = ["-m", "optimum.exporters.onnx", "--model", str(folder), "--task", "text-generation-with-past", str(to)]
        return run([sys.executable, *arguments])
    if style == "mobius":
        return run([pathlib.Path(sys.executable).with_name("mobius"), "build", "--config", folder, to])
    return export_with_dynamo(folder, int(style.removeprefix("dynamo")), to)


def export_with_dynamo(folder, opset, to):
    """torch.onnx.export(dynamo=True) of the model with its cache as flat inputs and outputs."""
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
    arguments = (torch.randint(0, VOCABULARY, (2, 3)), torch.ones(2, 7, dtype=torch.int64),
                 torch.arange(4, 7).repeat(2, 1), past)
    dim = torch.export.Dim
    batch, seq, old = dim("batch_size"), dim("sequence_length"), dim("past_sequence_length")
    cached = [({0: batch, 2: old}, {0: batch, 2: old}) for _ in past]
    shapes = ({0: batch, 1: seq}, {0: batch, 1: dim.AUTO}, {0: batch, 1: seq}, cached)
    names = lambda what: [f"{what}.{i}.{part}" for i in range(len(past)) for part in ("key", "value")]
    program = torch.onnx.export(
        WithCache(model), arguments, dynamo=True, opset_version=opset, dynamic_shapes=shapes, optimize=True,
        input_names=["input_ids", "attention_mask", "position_ids", *names("past_key_values")],
        output_names=["logits", *names("present")])
    to.mkdir(parents=True, exist_ok=True)
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


def fused(llmc, model):
    """How many attentions, norms and rotations of heads the compiler finds in all layers, and what of them it does not."""
    graph = run([llmc, "dump", model, "--stage", "fused", "--entry", "decode", "--max-context", 64])
    found = layer = collections.Counter()
    for op, attributes in re.findall(r"%\d+ : .*? = (\w+)(.*)", graph):
        if op == "carry":
            layer = collections.Counter()
        elif op == "repeat":
            times = int(re.search(r"count=(\d+)", attributes)[1])
            found.update({name: times * n for name, n in layer.items()})
            layer = found
        else:
            layer[op] += 1
    left = sum(found[op] for op in ("softmax", "reduce_mean", "reduce_sum", "mask"))
    return (f"attention {found['attention']}, norm {found['rms_norm'] + found['layer_norm']}, rope {found['rope']}"
            + (f", not fused {left}" if left else ""))


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
                print(f"{family:19} {style:10} not exported: {str(error).strip().splitlines()[-1:]}", flush=True)
                continue
            if options.export_only:
                continue
            try:
                worst = compare(options.llmc, model, options.chips.split(","), options.out)
                failed |= worst > TOLERANCE
                verdict = "ok" if worst <= TOLERANCE else "WRONG"
                print(f"{family:19} {style:10} {verdict} {worst:.1e} {fused(options.llmc, model)}", flush=True)
            except RuntimeError as error:
                failed = True
                print(f"{family:19} {style:10} error: {error}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()

"""Families of language models, exported afresh, against ONNX Runtime.

usage: families.py LLMC OUT_DIR [FAMILY..] [--styles optimum,dynamo18,dynamo23] [--chips ideal,edge]

Makes a small random model of each family with `transformers`, exports it the ways its users do (see `exporters.py`;
unless the file is in OUT_DIR already), lets ONNX Runtime compute logits, compiles, and compares logits by prefill and
by decode. Prints one line for each file, with what was fused in all layers together; exits with 1 if one is wrong or does not compile. Files in OUT_DIR are reused,
so that only the first run needs torch, transformers, optimum, onnxruntime-genai and mobius.
"""
import argparse
import collections
import json
import pathlib
import re
import sys

import numpy as np

from exporters import export, feeds, run, tokenizer

LAYERS, HIDDEN, VOCABULARY, TOKENS, CONTEXT = 2, 64, 320, 24, 64
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
    "phi": ("Phi", dict(COMMON, num_attention_heads=2, partial_rotary_factor=0.5)),
    "phi3": ("Phi3", dict(GROUPED, sliding_window=None, original_max_position_embeddings=128)),
    "phi3_long": ("Phi3", dict(GROUPED, sliding_window=None, max_position_embeddings=256, original_max_position_embeddings=128,
                               rope_scaling=dict(type="longrope", rope_type="longrope", long_factor=[1 + i / 2 for i in range(8)],
                                                 short_factor=[1 + i / 9 for i in range(8)]))),
    "gpt2": ("GPT2", dict(vocab_size=VOCABULARY, n_embd=HIDDEN, n_layer=LAYERS, n_head=4, n_positions=128)),
    "gpt_neox": ("GPTNeoX", dict(COMMON, rotary_pct=0.25)),
    "falcon": ("Falcon", dict(COMMON, multi_query=True, parallel_attn=True, alibi=False, bias=False)),
    "olmo2": ("Olmo2", GROUPED),
    "granite": ("Granite", dict(GROUPED, embedding_multiplier=12.0, residual_multiplier=0.22, attention_multiplier=0.2,
                                logits_scaling=8.0)),
    "gemma": ("Gemma", dict(GROUPED, head_dim=16)),
    "olmo": ("Olmo", dict(GROUPED, clip_qkv=None)),
    "nemotron": ("Nemotron", dict(GROUPED, num_attention_heads=2, partial_rotary_factor=0.5)),
    "smollm3": ("SmolLM3", dict(GROUPED, num_hidden_layers=4)),
    "ernie4_5": ("Ernie4_5", GROUPED),
    "hunyuan": ("HunYuanDenseV1", dict(GROUPED, head_dim=16)),
    "llama_tied": ("Llama", dict(GROUPED, tie_word_embeddings=True)),
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
    "phi3_partial": ("Phi3", dict(GROUPED, sliding_window=None, partial_rotary_factor=0.5)),
    "llama31": ("Llama", dict(GROUPED, rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                                         original_max_position_embeddings=32))),
    "llama_yarn": ("Llama", dict(GROUPED, rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32))),
    "llama_linear": ("Llama", dict(GROUPED, rope_scaling=dict(rope_type="linear", factor=4.0))),
    "llama_dynamic": ("Llama", dict(GROUPED, rope_scaling=dict(rope_type="dynamic", factor=4.0))),
    "llama_biased": ("Llama", dict(GROUPED, attention_bias=True, mlp_bias=True, tie_word_embeddings=True)),
    "gemma3_long": ("Gemma3Text", dict(GROUPED, num_hidden_layers=6, head_dim=16, sliding_window=16, query_pre_attn_scalar=16,
                                       rope_scaling=dict(rope_type="linear", factor=8.0))),
    "vaultgemma": ("VaultGemma", dict(GROUPED, head_dim=16, sliding_window=16, query_pre_attn_scalar=16)),
    "cohere_normed": ("Cohere", dict(GROUPED, use_qk_norm=True)),
    "cohere2": ("Cohere2", dict(GROUPED, num_hidden_layers=4, sliding_window=16)),
    "exaone4": ("Exaone4", dict(GROUPED, num_hidden_layers=4, sliding_window=16, sliding_window_pattern=4)),
    "persimmon": ("Persimmon", COMMON),
    "glm": ("Glm", dict(GROUPED, head_dim=16)),
    "glm4": ("Glm4", dict(GROUPED, head_dim=16)),
    "olmo3": ("Olmo3", dict(GROUPED, num_hidden_layers=4, sliding_window=16)),
    "ernie": ("Ernie4_5", dict(GROUPED, head_dim=16)),
    "helium": ("Helium", dict(GROUPED, head_dim=16)),
    "arcee": ("Arcee", GROUPED),
    "seed_oss": ("SeedOss", dict(GROUPED, head_dim=16)),
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
    "olmoe": ("Olmoe", dict(GROUPED, num_experts=4, num_experts_per_tok=2)),
    "gpt_oss": ("GptOss", dict(GROUPED, head_dim=16, num_local_experts=4, num_experts_per_tok=2, sliding_window=16)),
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
        for weight in model.parameters():
            centre = 1.0 if bool((weight == 1).all()) else 0.0  # as it starts: gains of norms, unless they add 1 themselves
            torch.nn.init.normal_(weight, centre, 0.15)
    model.save_pretrained(folder)


def widened(model):
    """The file computing in f32, whatever half precision it has, and without leave to quantise activations: what its weights mean."""
    import onnx
    half = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)

    def widen(tensor):
        if tensor.data_type in half:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    def visit(graph):
        for tensor in graph.initializer:
            widen(tensor)
        for value in [*graph.input, *graph.output, *graph.value_info]:
            if value.type.tensor_type.elem_type in half:
                value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        for node in graph.node:
            kept = [a for a in node.attribute if a.name != "accuracy_level"]
            for attribute in kept:
                if attribute.name in ("to", "output_dtype") and attribute.i in half:
                    attribute.i = onnx.TensorProto.FLOAT
                if attribute.type == onnx.AttributeProto.TENSOR:
                    widen(attribute.t)
                if attribute.type == onnx.AttributeProto.GRAPH:
                    visit(attribute.g)
            del node.attribute[:]
            node.attribute.extend(kept)

    loaded = onnx.load(model)
    visit(loaded.graph)
    return loaded


def reference(model, hf):
    """Tokens and the logits that ONNX Runtime computes for them, with an empty cache and optimisations off."""
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    loaded = widened(model)
    session = ort.InferenceSession(loaded.SerializeToString(), options, providers=["CPUExecutionProvider"])
    tokens = np.random.default_rng(0).integers(3, VOCABULARY, (1, TOKENS))
    config = json.loads((hf / "config.json").read_text())
    head_dim = config.get("head_dim") or config.get("hidden_size", HIDDEN) // config.get("num_attention_heads", 4)
    # Buffers of a window are never shorter than it.
    windows = any(a.name == "sliding_window_cache" for n in loaded.graph.node for a in n.attribute)
    given = feeds(session, tokens, head_dim, CONTEXT if windows else 0)
    if not any(n.op_type == "DynamicQuantizeLinear" for n in loaded.graph.node):
        return tokens, session.run(["logits"], given)[0]
    # Its ranges are those of a launch; with a token in each they do not depend on the length of the prompt.
    names, rows = [o.name for o in session.get_outputs()], []
    for t in range(TOKENS):
        one = dict(input_ids=tokens[:, t : t + 1], attention_mask=np.ones((1, t + 1), np.int64), position_ids=np.array([[t]]))
        given.update({name: value for name, value in one.items() if name in given})
        found = dict(zip(names, session.run(names, given)))
        rows.append(found["logits"])
        given.update({n.replace("present", "past_key_values"): v for n, v in found.items() if n.startswith("present")})
    return tokens, np.concatenate(rows, axis=1)


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


def compare(llmc, model, hf, chips, scratch):
    """The worst difference over all chips and both ways, as a share of the range of the logits."""
    tokens, logits = reference(model, hf)
    np.save(scratch / "ids.npy", tokens)
    worst = 0.0
    for chip in chips:
        program = scratch / "m.llmc"
        run([llmc, "compile", model, "-o", program, *chip.split(), "--max-context", CONTEXT, "--prefill", 16,
             "--dynamic-range", "token"])
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
                    tokenizer(folder / "hf", VOCABULARY)
                if not model.exists():
                    export(folder / "hf", style, folder / style)
            except Exception as error:  # whatever an exporter throws
                print(f"{family:19} {style:28} not exported: {str(error).strip().splitlines()[-1:]}", flush=True)
                continue
            if options.export_only:
                continue
            try:
                worst = compare(options.llmc, model, folder / "hf", options.chips.split(","), options.out)
                failed |= worst > TOLERANCE
                verdict = "ok" if worst <= TOLERANCE else "WRONG"
                print(f"{family:19} {style:28} {verdict} {worst:.1e} {fused(options.llmc, model)}", flush=True)
            except RuntimeError as error:
                failed = True
                print(f"{family:19} {style:28} error: {error}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()

"""Models without a cache (encoders of text and images, plain networks), exported afresh, against ONNX Runtime.

usage: encoders.py LLMC OUT_DIR [MODEL..] [--styles optimum,dynamo18,dynamo23] [--chips "--chip ideal,--chip edge"]

Makes a small random model of each kind with `transformers`, exports it the ways its users do (unless the file is in OUT_DIR
already), compiles it with a batch of 2, and compares all results with those of ONNX Runtime: once with everything visible,
once with the end of one sequence hidden by `attention_mask`. Prints one line for each file, with the cycles of a run; exits with 1 if
one is wrong or does not compile.
"""
import argparse
import json
import pathlib
import sys

import numpy as np

from families import TOLERANCE, VOCABULARY, run

BATCH, TOKENS = 2, 12
COMMON = dict(vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
              max_position_embeddings=64, pad_token_id=0)
IMAGE = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, image_size=16, patch_size=4)
# The class of the model and what its configuration adds.
MODELS = {
    "bert": ("Bert", COMMON),
    "roberta": ("Roberta", COMMON),
    "electra": ("Electra", dict(COMMON, embedding_size=32)),
    "distilbert": ("DistilBert", dict(vocab_size=VOCABULARY, dim=64, n_layers=2, n_heads=4, hidden_dim=128, max_position_embeddings=64)),
    "albert": ("Albert", dict(COMMON, embedding_size=32)),
    "mpnet": ("MPNet", COMMON),
    "modernbert": ("ModernBert", dict(COMMON, local_attention=8, global_attn_every_n_layers=2)),
    "deberta": ("DebertaV2", dict(COMMON, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8)),
    "esm": ("Esm", dict(COMMON, position_embedding_type="rotary", mask_token_id=5)),
    "t5": ("T5Encoder", dict(vocab_size=VOCABULARY, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4)),
    "clip_text": ("CLIPText", dict(COMMON, bos_token_id=1, eos_token_id=2)),
    "clip_vision": ("CLIPVision", IMAGE),
    "vit": ("ViT", IMAGE),
    "dinov2": ("Dinov2", IMAGE),
    "siglip_vision": ("SiglipVision", IMAGE),
    "resnet": ("ResNet", dict(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic")),
    "mlp": (None, {}),
    "cnn": (None, {}),
}


def plain_model(kind):
    """A network that is no transformer, and its example input."""
    import torch
    from torch import nn
    if kind == "mlp":
        return nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 10), nn.Softmax(-1)), torch.randn(2, 32)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, groups=2, stride=2),
              nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)]
    return nn.Sequential(*layers), torch.randn(2, 3, 16, 16)


def random_model(name, folder):
    """A model with random weights, as a Hugging Face folder."""
    import torch
    import transformers
    kind, options = MODELS[name]
    torch.manual_seed(1)
    config = getattr(transformers, f"{kind.removesuffix('Encoder')}Config")(**options)
    model = getattr(transformers, f"{kind}Model")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            torch.nn.init.normal_(weight, 1.0 if bool((weight == 1).all()) else 0.0, 0.15)
    model.save_pretrained(folder)


def export(name, folder, style, to):
    """Exports a model; `to` is the folder of the ONNX file."""
    import torch
    to.mkdir(parents=True, exist_ok=True)
    kind, _ = MODELS[name]
    dynamo = style.startswith("dynamo")
    opset = int(style.removeprefix("dynamo")) if dynamo else 17
    batch = torch.export.Dim("batch_size")
    if kind is None:
        torch.manual_seed(1)
        model, example = plain_model(name)
        how = dict(dynamic_shapes=({0: batch},)) if dynamo else dict(dynamic_axes={"x": {0: "batch_size"}})
        torch.onnx.export(model.eval(), (example,), str(to / "model.onnx"), dynamo=dynamo, opset_version=opset, input_names=["x"],
                          output_names=["y"], external_data=False, **how)
        return
    if style == "optimum":
        task = "feature-extraction"
        run([sys.executable, "-m", "optimum.exporters.onnx", "--model", folder, "--task", task, "--library", "transformers", to])
        return
    import transformers
    model = getattr(transformers, f"{kind}Model").from_pretrained(folder).eval()

    class Positional(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x, attention_mask=None):
            inputs = {"pixel_values": x} if images else {"input_ids": x, "attention_mask": attention_mask}
            return self.model(**inputs).last_hidden_state

    images = model.main_input_name == "pixel_values"
    if images:
        examples, names, shapes = (torch.randn(2, 3, 16, 16),), ["pixel_values"], ({0: batch},)
    else:
        tokens = torch.export.Dim("sequence_length")
        examples = (torch.randint(3, VOCABULARY, (2, 7)), torch.ones(2, 7, dtype=torch.int64))
        names, shapes = ["input_ids", "attention_mask"], ({0: batch, 1: tokens},) * 2
    torch.onnx.export(Positional().eval(), examples, str(to / "model.onnx"), dynamo=True, opset_version=opset, dynamic_shapes=shapes,
                      input_names=names, output_names=["last_hidden_state"], external_data=False)


def inputs_of(session, hidden):
    """Random inputs; the last `hidden` tokens of the second sequence are hidden. Also the value of each symbolic dim."""
    random, feeds, dims = np.random.default_rng(0), {}, {}
    for value in session.get_inputs():
        shape = []
        for axis, dim in enumerate(value.shape):
            if not isinstance(dim, int):
                dims[dim] = BATCH if axis == 0 else {4: [BATCH, 3, 16, 16]}.get(len(value.shape), [BATCH, TOKENS])[axis]
                dim = dims[dim]
            shape.append(dim)
        if value.name == "attention_mask":
            feeds[value.name] = np.ones(shape, np.int64)
            feeds[value.name][1, TOKENS - hidden:] = 0
        elif value.name == "token_type_ids":
            feeds[value.name] = random.integers(0, 2, shape)
        elif "int" in value.type:
            feeds[value.name] = random.integers(3, VOCABULARY, shape)
        else:
            feeds[value.name] = random.normal(size=shape).astype(np.float32)
    return feeds, dims


def compare(llmc, model, chips, scratch):
    """The worst difference over all chips and masks as a share of the range of the result, and cycles by chip."""
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    worst, cycles = 0.0, []
    for chip in chips:
        feeds, dims = inputs_of(session, 0)
        program = scratch / "m.llmc"
        bound = [part for name, value in dims.items() for part in ("--dim", f"{name}={value}")]
        run([llmc, "compile", model, "-o", program, *chip.split(), *bound])
        for hidden in (0, 5):
            feeds, _ = inputs_of(session, hidden)
            np.savez(scratch / "in.npz", **feeds)
            told = run([llmc, "run", program, "--inputs", scratch / "in.npz", "--outputs", scratch / "out.npz", "--json"])
            found = np.load(scratch / "out.npz")
            for name, want in zip(names, session.run(names, feeds)):
                difference = np.abs(found[name] - want).max() / max(np.ptp(want), 1e-6)
                worst = max(worst, float(difference) if np.isfinite(difference) else np.inf)
        cycles.append(json.loads(told)["cycles"])
    return worst, cycles


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("llmc")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--styles", default="optimum,dynamo18,dynamo23")
    parser.add_argument("--chips", default="--chip ideal,--chip edge,--chip edge --set core.sram_kib=64")
    parser.add_argument("--export-only", action="store_true")
    options = parser.parse_args()
    failed = False
    for name in options.models or MODELS:
        for style in options.styles.split(","):
            folder = options.out / name
            model = folder / style / "model.onnx"
            try:
                if MODELS[name][0] and not (folder / "hf" / "config.json").exists():
                    random_model(name, folder / "hf")
                if not model.exists():
                    export(name, folder / "hf", style, folder / style)
            except Exception as error:  # whatever an exporter throws
                print(f"{name:14} {style:10} not exported: {str(error).strip().splitlines()[-1:]}", flush=True)
                continue
            if options.export_only:
                continue
            try:
                worst, cycles = compare(options.llmc, model, options.chips.split(","), options.out)
                failed |= worst > TOLERANCE
                print(f"{name:14} {style:10} {'ok' if worst <= TOLERANCE else 'WRONG'} {worst:.1e} cycles {cycles}", flush=True)
            except RuntimeError as error:
                failed = True
                print(f"{name:14} {style:10} error: {error}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()

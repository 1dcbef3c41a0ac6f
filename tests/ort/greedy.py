#!/usr/bin/env python3
"""Greedy tokens of a decoder model through ONNX Runtime, compared with llmc or written as a case file.

    greedy.py MODEL.onnx --cases FILE.json --write          compute the ids of every prompt and write them into FILE
    greedy.py MODEL.onnx --cases FILE.json                  check that FILE is what ONNX Runtime says today
    greedy.py MODEL.onnx --cases FILE.json --llmc target/release/llmc --chips ideal,edge
                                                            ... and that `llmc generate` says the same on each chip

A case file is {"tokens": N, "eos": [ids], "cases": [{"prompt", "prompt_token_ids", "token_ids", "smallest_margin"}]}.
`smallest_margin` is the least difference between the best and the second logit along the way: what a
disagreement would have to overcome. Needs numpy and onnxruntime only; prompts are already token ids in the file.
"""

import argparse
import json
import subprocess
import sys

import numpy as np
import onnxruntime as ort


def session(path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def empty_past(model):
    """Past states of length zero, by input name. Symbolic dims: the batch is 1, the past is 0."""
    past = {}
    for value in model.get_inputs():
        if len(value.shape) == 4:
            batch, heads, _, width = value.shape
            past[value.name] = np.zeros((1, heads, 0, width), np.float32)
    return past


def step(model, past, ids, position):
    """Runs `ids` at `position`; returns the logits of the last row and the new past."""
    feeds = dict(past)
    for value in model.get_inputs():
        if value.name == "input_ids":
            feeds[value.name] = np.array([ids], np.int64)
        elif value.name == "attention_mask":
            feeds[value.name] = np.ones((1, position + len(ids)), np.int64)
        elif value.name == "position_ids":
            feeds[value.name] = np.arange(position, position + len(ids), dtype=np.int64)[None]
    outputs = model.run(None, feeds)
    names = [value.name for value in model.get_outputs()]
    logits = outputs[names.index("logits")][0, -1]
    present = [tensor for name, tensor in zip(names, outputs) if name != "logits"]
    return logits, dict(zip(past.keys(), present))


def greedy(model, prompt, count, eos):
    """The greedy continuation of `prompt` (at most `count` tokens, the end token included) and the smallest margin."""
    past, position, ids, out, margin = empty_past(model), 0, list(prompt), [], float("inf")
    while len(out) < count:
        logits, past = step(model, past, ids, position)
        position += len(ids)
        second, best = np.partition(logits, -2)[-2:]
        margin = min(margin, float(best - second))
        token = int(np.argmax(logits))
        out.append(token)
        if token in eos:
            break
        ids = [token]
    return out, margin


def write_cases(path, file):
    """One line per field, so that a change shows up as a small difference."""
    with open(path, "w", encoding="utf-8") as out:
        out.write("{\n")
        out.write(f'"model": {json.dumps(file["model"])},\n"tokens": {file["tokens"]},\n"eos": {file["eos"]},\n"cases": [\n')
        rows = []
        for case in file["cases"]:
            fields = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in case.items()]
            rows.append("{" + ",\n ".join(fields) + "}")
        out.write(",\n".join(rows) + "\n]\n}\n")


def compare(what, expected, found):
    """Prints the first difference of two id lists; true if there is none."""
    if expected == found:
        return True
    at = next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b), min(len(expected), len(found)))
    print(f"FAIL {what}: {len(expected)} ids expected, {len(found)} found, first difference at {at}:", file=sys.stderr)
    print(f"  expected ..{expected[at:at + 8]}\n  found    ..{found[at:at + 8]}", file=sys.stderr)
    return False


def llmc_greedy(binary, model, chip, prompt, count):
    command = [binary, "generate", model, "--chip", chip, "--prompt", prompt, "--max-tokens", str(count), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--cases", required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--llmc")
    parser.add_argument("--chips", default="ideal,edge")
    args = parser.parse_args()

    with open(args.cases, encoding="utf-8") as text:
        file = json.load(text)
    model = session(args.model)
    good = True
    for case in file["cases"]:
        ids, margin = greedy(model, case["prompt_token_ids"], file["tokens"], file["eos"])
        if args.write:
            case["token_ids"], case["smallest_margin"] = ids, round(margin, 6)
            continue
        good &= compare(f"{case['prompt']!r}: case file against ONNX Runtime", case["token_ids"], ids)
        for chip in args.chips.split(",") if args.llmc else []:
            found = llmc_greedy(args.llmc, args.model, chip, case["prompt"], file["tokens"])
            what = f"{case['prompt']!r} on {chip}"
            same = compare(f"{what}: prompt", case["prompt_token_ids"], found["prompt_token_ids"])
            same &= compare(f"{what}: llmc against ONNX Runtime", ids, found["token_ids"])
            good &= same
            if same:
                print(f"{what}: {len(ids)} tokens equal (smallest margin {margin:.4g})")
    if args.write:
        write_cases(args.cases, file)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

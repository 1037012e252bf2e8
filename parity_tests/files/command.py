"""`python -m parity_tests judge`: reads files, judges them, shows what was found; the exit status is the verdict."""

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

import reference
from reference import bounds
from weights_export import Bundle, open_bundle
from weights_export.output_layer import finished
from weights_export.progress import shown as progress

from ..judges.words import Verdict
from ..terminal import console
from ..verdict import compare
from .judging import judge_logits
from .precisions import FLOAT32
from .reading import Shapes, read
from .show import as_json, show

WIDTH = 100  # of a page, in characters


def judge(options: argparse.Namespace) -> int:
    """0 for a right head, 1 for another. Raises: OSError, ValueError for files that cannot be judged."""
    bundle = open_bundle(options.bundle)
    n, v, rows = (int(bundle.manifest[key]) for key in ("prompts", "vocab_size", "embedding_rows"))
    if not n:
        raise ValueError(f"{options.bundle} holds no contexts: export it without --head-only")
    if (options.seed is None) != (options.tokens is None):
        raise ValueError("--tokens and --seed go together: the tokens, and the seed that they were drawn from")
    shapes: Shapes = {"the bundle's contexts and vocabulary": (n, v)}
    padded: Shapes = {"the same with its padding rows": (n, rows)} if rows > v else {}
    ids: Shapes = {"a token id each": (n,)}
    theirs = read(options.logits, shapes | padded, dtype=options.dtype)
    probs = None if options.probs is None else read(options.probs, shapes, ("float32", "float64"), options.dtype)
    tokens = None if options.tokens is None else read(options.tokens, ids, ("int64", "int32"))
    with progress() as report:
        bundle.verify(report)
        judged = judge_logits(bundle, theirs, options.own_contexts, report)
    others = _others(bundle, probs, tokens, options)
    if options.json:
        print(json.dumps(as_json(judged, {name: str(verdict) for name, verdict in others.items()}), indent=2))
    for where in ([] if options.json else [console()]) + ([_page()] if options.html else []):
        show(judged, bundle, where)
        for name, verdict in others.items():
            where.print(f"{name}: {verdict}", markup=False)
        if options.html and where.record:
            Path(options.html).write_text(where.export_html(), encoding="utf-8")
    right = judged.right and all(verdict.conforms for verdict in others.values())
    return 0 if right and (not options.float32 or judged.precision == FLOAT32.name) else 1


def _page() -> Console:
    return Console(record=True, width=WIDTH, highlight=False, file=io.StringIO())


def _others(bundle: Bundle, probs: Any, tokens: Any, options: argparse.Namespace) -> dict[str, Verdict]:
    """The verdicts on probabilities and tokens, where there are any."""
    if probs is None and tokens is None:
        return {}
    context, embedding = np.array(bundle.context), np.asarray(bundle.embedding).astype(np.float32)
    settings = {"temperature": options.temperature, "k": options.top_k}
    logits, error = finished(context, embedding, bundle.finish)
    scaled = reference.keep_top_k(reference.apply_temperature(logits, options.temperature), options.top_k)
    ours, verdicts = reference.softmax(scaled), dict[str, Verdict]()
    if probs is not None:
        given = {"context": context, "embedding": embedding, **settings, "finish": bundle.finish}
        verdicts["probabilities"] = compare("lm_head", ours, probs, probs.dtype.name, **given)
    if tokens is not None:
        noise = reference.TorchGenerator(options.seed).standard_exponential(ours.shape, np.float32)
        off = bounds.temperature(logits, options.temperature, "float32", error)
        due = reference.multinomial(ours, rng=reference.TorchGenerator(options.seed))
        drawn = np.asarray(tokens, np.int64)[:, None]
        given = {"probs": ours, "noise": noise, "error": 2 * bounds.softmax(scaled, "float32", off)}
        verdicts["tokens"] = compare("multinomial", due, drawn, **given)
    return verdicts

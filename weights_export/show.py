"""What is in a bundle, for people."""

from .bundle import Bundle

SHOWN = 4
WIDTH = 100


def show(bundle: Bundle) -> str:
    """The manifest, the tensors, the prompts and some tokens as text; names from the file are quoted.

    Raises: BundleError as the parts of a bundle do.
    """
    m = bundle.manifest
    rows = m["embedding_rows"]
    padding = f", and {rows - m['vocab_size']:,} rows that are no token's" if rows > m["vocab_size"] else ""
    lines = [
        f"{m['format']} {m['version']} of {m['model']!r}" + (f", revision {m['revision']!r}" if m["revision"] else ""),
        f"vocabulary    V = {m['vocab_size']:,} tokens{padding}",
        f"hidden size   d = {m['hidden_size']:,}",
        f"embedding     {m['dtype']}, {'tied' if m['tied'] else 'not tied'} to the token embedding",
        f"final norm    epsilon {m['layer_norm_epsilon']}",
        "",
        f"{'tensor':<20} {'dtype':<9} {'shape':<18} {'file':<22} {'first byte':>12}",
    ]
    for name, tensor in m["tensors"].items():
        shape = " x ".join(f"{n:,}" for n in tensor["shape"])
        lines.append(f"{name:<20} {tensor['dtype']:<9} {shape:<18} {tensor['file']:<22} {tensor['offset']:>12,}")
    lines += ["", f"{'file':<22} {'bytes':>14}  sha256"]
    for name, file in m["files"].items():
        lines.append(f"{name:<22} {file['size']:>14,}  {file['sha256'][:16]}…")
    if m["prompts"]:
        lines += ["", f"{'prompt':<6} {'tokens':>6}  text"]
        for i, prompt in enumerate(bundle.prompts):
            lines.append(f"{i:<6} {len(prompt['token_ids']):>6}  {repr(prompt['text'])[: WIDTH - 16]}")
    if "tokens.json" in m["files"]:
        tokens = ", ".join(f"{i} {bundle.token_bytes[i]!r}" for i in range(min(SHOWN, m["vocab_size"])))
        lines += ["", f"tokens        {tokens}, …; special: {sorted(bundle.special)[:SHOWN]}"]
    return "\n".join(lines)

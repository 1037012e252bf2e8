"""Train the embedded tiny GPT-2: tokenizer, weights and model card, from one text file.

    python weights_export/tiny_gpt2/train.py tinyshakespeare.txt --output some/folder

The corpus is "tiny shakespeare" (public domain, 1,115,394 bytes). Its first 90% train the tokenizer and the model; the
last 10% are held out and only measured. A run cannot be resumed: that would need the optimizer, the schedule and the
random stream exactly as they were. The output folder appears when the run has finished, never half-written.
"""

import argparse
import hashlib
import json
import math
from pathlib import Path

import safetensors.torch
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from weights_export import staging
from weights_export.progress import shown

VOCAB_SIZE = 2048
POSITIONS = 256  # the context window, and the length of every training sequence: no position goes untrained
HIDDEN_SIZE, LAYERS, HEADS, DROPOUT = 192, 4, 6, 0.2
BATCH, STEPS, WARMUP = 16, 2600, 100
LEARNING_RATE, WEIGHT_DECAY, CLIP = 1.5e-3, 0.1, 1.0
END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(text: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE with GPT-2's pre-tokenization: any byte string can be encoded, nothing is unknown."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet, special = pre_tokenizers.ByteLevel.alphabet(), [END_OF_TEXT]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator([text], trainer)
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, model_max_length=POSITIONS, clean_up_tokenization_spaces=False, **names
    )


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a half cosine down to a tenth of the peak."""
    if step < WARMUP:
        return LEARNING_RATE * (step + 1) / WARMUP
    progress = (step - WARMUP) / max(1, steps - WARMUP)
    return LEARNING_RATE * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


@torch.no_grad()
def mean_loss(model: GPT2LMHeadModel, tokens: torch.Tensor) -> float:
    """Nats per predicted token over all of `tokens`, in consecutive windows of POSITIONS, dropout off."""
    model.eval()
    total, count = 0.0, 0
    for window in tokens.split(POSITIONS):
        if len(window) >= 2:
            total += model(window[None], labels=window[None]).loss.item() * (len(window) - 1)
            count += len(window) - 1
    model.train()
    return total / count


def train(text: str, steps: int, seed: int) -> tuple[GPT2LMHeadModel, PreTrainedTokenizerFast, dict[str, float]]:
    """One whole run; returns the model, its tokenizer and the measured losses."""
    torch.manual_seed(seed)
    cut = int(len(text) * 0.9)
    tokenizer = train_tokenizer(text[:cut])
    training, held_out = (torch.tensor(tokenizer.encode(part)) for part in (text[:cut], text[cut:]))
    shape = {"n_positions": POSITIONS, "n_embd": HIDDEN_SIZE, "n_layer": LAYERS, "n_head": HEADS}
    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), DROPOUT)
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = GPT2LMHeadModel(GPT2Config.from_dict({"vocab_size": len(tokenizer), **shape, **dropout, **special}))
    # As GPT-2 was trained: decay the matrices, leave biases and layer norms alone.
    matrices = {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": WEIGHT_DECAY}
    vectors = {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}
    optimizer = torch.optim.AdamW([matrices, vectors], lr=LEARNING_RATE, betas=(0.9, 0.95))
    model.train()
    with shown() as report:
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps)
            starts = torch.randint(len(training) - POSITIONS, (BATCH,))
            batch = torch.stack([training[start : start + POSITIONS] for start in starts])
            loss = model(batch, labels=batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            optimizer.zero_grad()
            report("training", step + 1, steps)
            if (step + 1) % 200 == 0:
                print(f"step {step + 1}: training {loss.item():.3f}, held-out {mean_loss(model, held_out):.3f}")
    with torch.no_grad():  # the stored weights are float16: measure the model that is stored
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    measured = {
        "training_loss": mean_loss(model, training),
        "held_out_loss": mean_loss(model, held_out),
        "training_tokens": len(training),
        "held_out_tokens": len(held_out),
        "held_out_bytes": len(text[cut:].encode()),
        "parameters": model.num_parameters(),
    }
    return model.eval(), tokenizer, measured


def save(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, card: str, measured: dict[str, float], output: Path
) -> None:
    """Write everything beside `output`, then rename: the folder is complete or absent."""
    with staging.temporary(output) as folder:
        model.generation_config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        settings.pop("backend", None)
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # which every version of Transformers knows
        (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        # Stored as float16, computed in float32, as config.json says. The tied head is stored once, as the embedding.
        model.config.dtype = "float32"
        model.config.save_pretrained(folder)
        halves = {name: p.detach().half().contiguous() for name, p in model.named_parameters()}
        (folder / "model.safetensors").write_bytes(safetensors.torch.save(halves, metadata={"format": "pt"}))
        (folder / "README.md").write_text(card, encoding="utf-8")
        (folder / "training.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
        folder.chmod(0o755)
        staging.put_in_place(folder, output, force=False)


def model_card(measured: dict[str, float], steps: int, seed: int, corpus_sha256: str) -> str:
    """The model card, its figures filled in from the run itself."""
    per_byte = measured["held_out_loss"] * (measured["held_out_tokens"] - 1) / measured["held_out_bytes"]
    return f"""\
---
license: mit
language: en
library_name: transformers
---
# A tiny GPT-2

A real GPT-2 (`GPT2LMHeadModel`, tied embedding, byte-level BPE), small enough for a repository. It exists to test and
show a language-model head on real context vectors; as a language model it writes Shakespeare-like lines and nothing
else.

| | |
| --- | --- |
| vocabulary | {VOCAB_SIZE:,} byte-level BPE tokens, trained on the training part only |
| shape | hidden size {HIDDEN_SIZE}, {LAYERS} layers, {HEADS} heads, {POSITIONS} positions, {int(measured["parameters"]):,} parameters |
| stored as | float16 safetensors, computed in float32 (`dtype` in `config.json`) |
| corpus | tiny shakespeare, 1,115,394 bytes, public domain, sha256 `{corpus_sha256[:16]}…` |
| split | first 90% for training ({int(measured["training_tokens"]):,} tokens), last 10% held out ({int(measured["held_out_tokens"]):,} tokens) |
| training | {steps:,} steps of {BATCH} x {POSITIONS} tokens, AdamW at {LEARNING_RATE:g} (warm-up {WARMUP}, cosine), weight decay {WEIGHT_DECAY}, dropout {DROPOUT}, seed {seed} |
| final training loss | {measured["training_loss"]:.3f} nats per token |
| held-out loss | {measured["held_out_loss"]:.3f} nats per token ({per_byte:.3f} nats per byte) |

Both losses are measured on the stored weights without dropout, over all of each part in consecutive windows of
{POSITIONS} tokens. The gap between them is overfitting: the corpus is small and the model knows parts of it by heart.
The corpus is in the public domain; weights and tokenizer are under the licence of this repository (MIT).

To retrain it (the corpus is not in the repository: pass the path of your copy):

    python weights_export/tiny_gpt2/train.py tinyshakespeare.txt --output retrained

The run is seeded, but floating-point sums differ between processors: expect losses that agree to two digits, not
identical bytes.
"""


def main() -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="the training text, UTF-8")
    parser.add_argument("--output", type=Path, required=True, help="the folder to create")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.output.exists():
        parser.error(f"--output {arguments.output} exists; name a new folder, nothing is overwritten")
    try:
        raw = arguments.corpus.read_bytes()
    except OSError as error:
        parser.error(f"corpus {arguments.corpus} cannot be read: {error.strerror}")
    model, tokenizer, measured = train(raw.decode("utf-8"), arguments.steps, arguments.seed)
    card = model_card(measured, arguments.steps, arguments.seed, hashlib.sha256(raw).hexdigest())
    save(model, tokenizer, card, measured, arguments.output)
    print(f"{arguments.output}: held-out loss {measured['held_out_loss']:.3f} nats per token")


if __name__ == "__main__":
    main()

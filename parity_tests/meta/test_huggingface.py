"""The Hugging Face path: the lesson's two functions, the processors of `generate()`, the context vector."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from transformers import TemperatureLogitsWarper, TopKLogitsWarper

import reference
import torch_impl
from torch_impl import huggingface

from .. import strategies
from ..verdict import compare

spec = pytest.mark.spec
TEXTS = ["What must be shall", "My lord,", "Before we proceed any further, hear me"]


@pytest.fixture(scope="module")
def padded(checkpoint: Any) -> dict[str, dict[str, torch.Tensor]]:
    """Three prompts of different lengths, padded on the left and on the right."""
    rows = [checkpoint.tokenizer.encode(text) for text in TEXTS]
    longest = max(map(len, rows))
    pads = [[0] * (longest - len(row)) for row in rows]
    return {
        "left": _batch([pad + row for pad, row in zip(pads, rows, strict=True)], [len(r) for r in rows], left=True),
        "right": _batch([row + pad for pad, row in zip(pads, rows, strict=True)], [len(r) for r in rows], left=False),
    }


def _batch(ids: list[list[int]], lengths: list[int], left: bool) -> dict[str, torch.Tensor]:
    input_ids = torch.tensor(ids)
    positions = torch.arange(input_ids.shape[1])
    length = torch.tensor(lengths)[:, None]
    mask = positions >= input_ids.shape[1] - length if left else positions < length
    return {"input_ids": input_ids, "attention_mask": mask.long()}


@spec("LOGITS-3", "HEAD-4")
@pytest.mark.parametrize("side", ["left", "right"])
def test_context_of_the_last_real_token(checkpoint: Any, padded: Any, side: str) -> None:
    """Against each prompt alone, without padding; the sums run in another order, so within the logits' own spread."""
    model = checkpoint.model
    contexts = huggingface.context_of(model, **padded[side])
    for row, text in enumerate(TEXTS):
        ids = torch.tensor([checkpoint.tokenizer.encode(text)])
        with torch.no_grad():
            output = model(ids, output_hidden_states=True)
        alone = output.hidden_states[-1][0, -1]
        nearest = torch.cdist(alone[None], contexts).argmin()
        assert nearest == row
        np.testing.assert_array_equal(huggingface.context_of(model, ids)[0].numpy(), alone.numpy())
        logits = reference.compute_logits(contexts[row].numpy(), model.lm_head.weight.detach().numpy())
        assert np.argmax(logits) == int(output.logits[0, -1].argmax())


@spec("LOGITS-3")
def test_context_is_after_the_final_norm_once(checkpoint: Any) -> None:
    """The product with the context is the model's own logits: no norm missing, none twice, the last position."""
    model = checkpoint.model
    ids = torch.tensor([checkpoint.tokenizer.encode(TEXTS[2])])
    context = huggingface.context_of(model, ids).numpy()
    embedding = model.get_input_embeddings().weight.detach().numpy()
    with torch.no_grad():
        theirs = model(ids).logits[:, -1].numpy()
    ours = reference.compute_logits(context, embedding)
    compare("compute_logits", ours, theirs, context=context, embedding=embedding).require()


@spec("HEAD-5")
def test_context_refusals(checkpoint: Any) -> None:
    model = checkpoint.model
    with pytest.raises(ValueError, match=r"input_ids has shape \(1, 0\)"):
        huggingface.context_of(model, torch.zeros(1, 0, dtype=torch.long))
    with pytest.raises(ValueError, match=r"attention_mask has shape \(1, 2\).*\(1, 3\)"):
        huggingface.context_of(model, torch.ones(1, 3, dtype=torch.long), torch.ones(1, 2))
    with pytest.raises(ValueError, match=r"attention_mask\[1\] is all zeros"):
        huggingface.context_of(model, torch.ones(2, 1, dtype=torch.long), torch.tensor([[1], [0]]))


@spec("HEAD-1", "TOPK-1")
@pytest.mark.parametrize("k", [1, 5, 50, 2048, 10_000])
@pytest.mark.parametrize("batched", [False, True])
def test_lesson_head_and_processors(checkpoint: Any, padded: Any, k: int, batched: bool) -> None:
    """The lesson's composition and Transformers' processors against the reference, one vector and a batch."""
    model = checkpoint.model
    contexts = huggingface.context_of(model, **padded["left"])
    contexts = contexts if batched else contexts[0]
    inputs = {
        "context": contexts.numpy(),
        "embedding": model.lm_head.weight.detach().numpy(),
        "temperature": 0.7,
        "k": k,
    }
    ours = reference.lm_head(**inputs)
    compare("lm_head", ours, huggingface.lm_head(model, contexts, 0.7, k).numpy(), **inputs).require()
    processed = huggingface.processed_lm_head(model, contexts, 0.7, k).numpy()
    compare("lm_head", ours, processed, **inputs, ties="all").require()


@spec("TEMP-1", "TOPK-7")
@given(st.data(), strategies.logits(dtypes=("float32",), shapes=st.sampled_from([(1,), (3,)])))
def test_the_processors_are_these_stages(data: st.DataObject, row: np.ndarray) -> None:
    """`TemperatureLogitsWarper` and `TopKLogitsWarper` on any logits: the same bits as ours with ties="all"."""
    temperature = data.draw(strategies.temperatures)
    k = data.draw(strategies.ks(row.shape[-1]))
    no_input_ids, scores = torch.empty(0, dtype=torch.long), torch.tensor(np.ascontiguousarray(row))
    theirs = TemperatureLogitsWarper(temperature)(no_input_ids, scores)
    scaled = reference.apply_temperature(row, temperature)
    np.testing.assert_array_equal(scaled, theirs.numpy())
    theirs = TopKLogitsWarper(top_k=k)(no_input_ids, theirs).numpy()
    kept = reference.keep_top_k(scaled, k, ties="all")
    compare("keep_top_k", kept, theirs, logits=scaled, k=k, ties="all").require()


@spec("LOGITS-5")
def test_a_model_with_an_untied_head_and_a_bias() -> None:
    """The output embedding and its bias, not the token embedding: Phi's head has both."""
    config = transformers.PhiConfig(
        vocab_size=11, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    torch.manual_seed(0)
    model = transformers.PhiForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.bias.copy_(torch.linspace(-3, 3, 11))
    probs = huggingface.lm_head(model, torch.zeros(8), temperature=1.0, k=11)
    expected = reference.softmax(np.linspace(-3, 3, 11, dtype=np.float32))
    compare("softmax", expected, probs.numpy(), logits=np.linspace(-3, 3, 11, dtype=np.float32)).require()


@spec("HEAD-5")
def test_a_model_without_a_head(checkpoint: Any) -> None:
    with pytest.raises(ValueError, match=r"GPT2Model without output embeddings"):
        huggingface.lm_head(checkpoint.model.transformer, torch.zeros(checkpoint.model.config.n_embd))


@spec("DRAW-3", "DRAW-6")
def test_get_top_token(checkpoint: Any, capsys: pytest.CaptureFixture[str]) -> None:
    probabilities = torch.zeros(checkpoint.model.config.vocab_size)
    probabilities[[300, 400]] = torch.tensor([0.25, 0.75])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        text = huggingface.get_top_token(probabilities, checkpoint.tokenizer, top_n=2)
        torch.manual_seed(5)
        ids = torch.multinomial(probabilities, 2)
    assert text == checkpoint.tokenizer.decode(ids)
    assert f"Final Selected 2 Tokens: '{text}'" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"num_samples is 3 but probs has only 2"):
        huggingface.get_top_token(probabilities, checkpoint.tokenizer, top_n=3)
    with pytest.raises(ValueError, match=r"probabilities has shape \(1, 2048\)"):
        huggingface.get_top_token(probabilities[None], checkpoint.tokenizer)


@spec("TOPK-2")
def test_the_lesson_leaves_ties_to_torch_topk_and_the_mirror_does_not() -> None:
    zeros = torch.zeros(64)
    assert torch_impl.top_k(zeros, 3)[1].tolist() == [0, 1, 2]
    assert torch.topk(zeros, 3).values.tolist() == [0, 0, 0]

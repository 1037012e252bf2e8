/** What the page carries, in data blocks: the bundle's files, PyTorch's answers, orders; and the toy for want of it. */

import { BundleError, openBundle, tensorOf } from "../../javascript/bundle.mjs";
import { count } from "./words.mjs";

function bytesOf(base64) {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes.buffer;
}

/** A file of the bundle. */
async function read(name) {
  const block = document.getElementById(`file:${name}`);
  if (!block) throw new Error("it is not in this page");
  return bytesOf(block.textContent.trim());
}

function parse(files, name) {
  if (!files.has(name)) return null;
  return JSON.parse(new TextDecoder().decode(files.get(name)));
}

/** The bundle in this page, every byte of it checked. Raises: BundleError. */
export async function embeddedBundle() {
  if (!globalThis.crypto?.subtle)
    throw new BundleError(
      "this browser has no Web Crypto here (crypto.subtle), which is needed to check the bundle: " +
        "open the page from disk or over HTTPS, in a current browser",
    );
  const bundle = await openBundle(read);
  const { manifest, V, files, contexts } = bundle;
  const [prompts, tokens] = [parse(files, "prompts.json"), parse(files, "tokens.json")];
  if (!contexts || prompts?.length !== contexts || (tokens && tokens.tokens.length !== V))
    throw new BundleError("the bundle has no prompts, or not one for each context: export it without --head-only");
  const pytorchLogits = tensorOf(manifest, "logits", files, [contexts, V]);
  const exactLogits = tensorOf(manifest, "logits_exact", files, [contexts, V]);
  const { multiplier, divisor, cap } = bundle.finish;
  const plain = multiplier === 1 && divisor === 1 && cap === Infinity && !bundle.bias;
  const row = (table) => (prompt) => table.subarray(prompt * V, prompt * V + V);
  const name = document.documentElement.dataset.bundle;
  return {
    ...bundle,
    finish: plain ? undefined : bundle.finish,
    prompts,
    tokens,
    title: `${manifest.model}, d = ${bundle.d}, V = ${count(V)}`,
    pytorchLogits: row(pytorchLogits),
    exactLogits: row(exactLogits),
    numpy: (prompt) => [
      `import reference, weights_export`,
      `bundle = weights_export.open_bundle(${JSON.stringify(name)})`,
      `context, embedding = bundle.context[${prompt}], bundle.embedding`,
    ],
  };
}

/** By name, the orders of reference/profiles.py: for each its steps, and the boxes that their arguments come from. */
export const embeddedOrders = () => JSON.parse(document.getElementById("orders").textContent);

/** PyTorch's answers: settings, and for each a row of probabilities a prompt and a token a seed. */
export function pytorchAnswers(head) {
  const answers = JSON.parse(document.getElementById("pytorch").textContent);
  const { V, contexts: N } = head;
  const settings = (answers.settings ?? []).map(({ ids, probs, draws, ...setting }) => {
    const values = new Float32Array(bytesOf(probs)); // (N, n)
    const tokenIds = ids === null ? null : new Int32Array(bytesOf(ids)); // (N, n); null: every token, in order
    const drawn = draws === null ? null : new Int32Array(bytesOf(draws)); // (N, seeds)
    const n = tokenIds ? tokenIds.length / N : V;
    if (values.length !== N * n || !Number.isInteger(n) || (drawn?.length ?? 0) % N)
      throw new BundleError("they do not have the shape of the bundle");
    const rowOf = (prompt) => {
      const row = values.subarray(prompt * n, prompt * n + n);
      if (!tokenIds) return row;
      const whole = new Float32Array(V);
      row.forEach((p, i) => (whole[tokenIds[prompt * n + i]] = p));
      return whole;
    };
    const seeds = drawn ? drawn.length / N : 0;
    const drawOf = (prompt, seed) => (seed >= 0n && seed < seeds ? drawn[prompt * seeds + Number(seed)] : null);
    return { ...setting, seeds, rowOf, drawOf };
  });
  return { note: answers.note, version: answers.version, settings };
}

/** The README's head of four tokens and two dimensions, so that the page can be used without its bundle. */
export function toy() {
  const rows = [1, 0, 0.8, 0.6, 0, 1, -1, 0];
  return {
    V: 4,
    d: 2,
    contexts: 1,
    embedding: Float32Array.from(rows),
    context: Float32Array.of(2, 1),
    prompts: [{ text: "(a toy of four tokens)", token_ids: [0, 1] }],
    tokens: { tokens: ["61", "62", "63", "64"], special: [] },
    title: "a toy, d = 2, V = 4",
    numpy: () => [
      `import numpy as np, reference`,
      `embedding = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], dtype=np.float32)`,
      `context = np.array([2, 1], dtype=np.float32)`,
    ],
  };
}

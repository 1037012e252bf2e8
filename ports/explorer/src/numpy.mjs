/** The lines of Python that compute what the page shows. */

import { START } from "./state.mjs";
import { written } from "./words.mjs";

const inPython = (given) =>
  Object.entries(given)
    .map(([name, value]) => `"${name}": ${JSON.stringify(value)}`)
    .join(", ");

/** With the head in one call where nothing but temperature and top-k is on, in the reference order; else its steps. */
export function showNumpy(page) {
  const { head, state } = page;
  const { prompt, temperature, k, seed, draws } = state;
  const steps = head.steps(state).filter(({ on }) => on);
  const filtered = state.order !== START.order || steps.length > 2;
  const logits = head.finish
    ? `logits = reference.finish_logits(reference.compute_logits(context, embedding), **bundle.finish)`
    : `logits = reference.compute_logits(context, embedding)`;
  const last = filtered
    ? [
        `steps = [${steps.map(({ step: [name, given] }) => `("${name}", {${inPython(given)}})`).join(", ")}]`,
        `probs = reference.softmax(reference.process(logits, steps))`,
      ]
    : [
        `scaled = reference.apply_temperature(logits, temperature=${temperature})`,
        `probs = reference.softmax(reference.keep_top_k(scaled, k=${k}))`,
      ];
  const probs =
    filtered || head.finish
      ? [logits, ...last]
      : [`probs = reference.lm_head(context, embedding, temperature=${temperature}, k=${k})`];
  const lines = [
    ...page.head.numpy(prompt),
    ...probs,
    `rng = reference.TorchGenerator(${seed})`,
    `drawn = reference.multinomial([probs] * ${draws}, rng=rng)[:, 0]`,
  ];
  written("numpy", lines.join("\n"));
}

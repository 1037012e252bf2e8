/** `node bench.mjs [V] [d]`: the milliseconds that each stage takes for one context vector, the median of 15 runs. */

import * as head from "./lm_head.mjs";

const [V = 50257, d = 768] = process.argv.slice(2).map(Number);

function time(name, run) {
  const taken = Array.from({ length: 15 }, () => {
    const start = performance.now();
    run();
    return performance.now() - start;
  });
  console.log(`${name.padEnd(44)}${taken.sort((a, b) => a - b)[7].toFixed(1).padStart(7)}`);
}

const rng = new head.TorchGenerator(0);
const numbers = (size) => rng.uniforms(size, Float32Array).map((x) => x - 0.5);
const [context, embedding] = [numbers(d), numbers(V * d)];
const logits = head.computeLogits(context, embedding);
const scaled = head.applyTemperature(logits, 0.7);
const kept = head.keepTopK(scaled, 50);
const probs = head.softmax(kept);
const noise = rng.exponentials(V);
const uniform = Float64Array.of(0.5);

console.log(`V = ${V}, d = ${d}, Node ${process.version}`.padEnd(48) + " ms");
time("computeLogits", () => head.computeLogits(context, embedding));
time("applyTemperature", () => head.applyTemperature(logits, 0.7));
time("keepTopK, k = 50", () => head.keepTopK(scaled, 50));
time("keepTopK, k = V", () => head.keepTopK(scaled, V));
time("softmax of 50 survivors", () => head.softmax(kept));
time("softmax of V", () => head.softmax(scaled));
time("PyTorch's noise", () => rng.exponentials(V));
time("multinomial", () => head.multinomial(probs, noise));
time("inverseCdf", () => head.inverseCdf(probs, uniform));
time("lmHead and a draw: all of it", () => head.multinomial(head.lmHead(context, embedding), rng.exponentials(V)));
time("all but the product: a new temperature or k", () => {
  const survivors = head.keepTopK(head.applyTemperature(logits, 0.7), 50);
  head.multinomial(head.softmax(survivors), rng.exponentials(V));
});

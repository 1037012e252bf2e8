/** What the page shows, computed by the port; each stage is kept until something that it depends on changes. */

import * as port from "../../javascript/lm_head.mjs";

export const SHOWN = 12; // candidates on the page

/** `f`, remembering its last arguments and their result; what it throws is not remembered. */
function last(f) {
  let [key, value] = [null, null];
  return (...args) => {
    const now = args.join();
    if (now !== key) [value, key] = [f(...args), now];
    return value;
  };
}

/** `f` of one argument, remembering every result. */
export function every(f) {
  const known = new Map();
  return (key) => {
    if (!known.has(key)) known.set(key, f(key));
    return known.get(key);
  };
}

/** A head with its prompts: the five stages at a setting. V tokens, hidden size d. */
export class Head {
  /**
   * @param {{V: number, d: number, embedding: Float32Array, context: Float32Array, bias?: Float32Array,
   *   finish?: {multiplier: number, divisor: number, cap: number}}} bundle `finish`: where the products are not the logits
   */
  constructor(bundle) {
    Object.assign(this, bundle);
    const { V, d } = bundle;
    this.contextOf = (prompt) => this.context.subarray(prompt * d, prompt * d + d);
    this.products = every((prompt) => port.computeLogits(this.contextOf(prompt), this.embedding));
    this.logits = every((prompt) => this.#finished(this.products(prompt)));
    this.scaled = last((prompt, T) => port.applyTemperature(this.logits(prompt), T));
    this.whole = last((prompt, T) => port.softmax(this.scaled(prompt, T))); // had nothing been cut
    this.kept = last((prompt, T, k) => port.keepTopK(this.scaled(prompt, T), k));
    this.probs = last((prompt, T, k) => port.softmax(this.kept(prompt, T, k)));
    this.candidates = last((prompt, T) => port.topK(this.scaled(prompt, T), SHOWN).tokenIds);
    this.firstNoise = last((seed) => new port.TorchGenerator(seed).exponentials(V));
    this.summary = last((prompt, T, k) => this.#summary(prompt, T, k));
  }

  embeddingOf(token) {
    return this.embedding.subarray(token * this.d, token * this.d + this.d);
  }

  #finished(products) {
    return this.finish ? port.finishLogits(products, this.bias, this.finish) : products;
  }

  /** Of a setting: the mass that the cut took away, entropy in bits, how many survive and can be drawn. */
  #summary(prompt, T, k) {
    const [whole, kept, probs] = [this.whole(prompt, T), this.kept(prompt, T, k), this.probs(prompt, T, k)];
    let [tail, entropy, possible, lowest] = [0, 0, 0, Infinity];
    const logits = this.logits(prompt);
    for (let v = 0; v < this.V; v++) {
      if (kept[v] === -Infinity) tail += whole[v];
      else if (logits[v] < lowest) lowest = logits[v];
      if (probs[v] > 0) {
        entropy -= probs[v] * Math.log2(probs[v]);
        possible++;
      }
    }
    return { tail, entropy: Math.max(entropy, 0), effective: 2 ** Math.max(entropy, 0), possible, lowest };
  }
}

/** Draws one after the other from one seed, counted: the state of the stream carries over  [RNG-2, RNG-5]. */
export class Draws {
  #rng = null;

  constructor(head, probs, seed) {
    Object.assign(this, { head, probs, seed, count: 0, token: -1, first: -1, noise: null });
    this.counts = new Uint32Array(head.V);
  }

  next() {
    if (this.count === 0) this.noise = this.head.firstNoise(this.seed);
    else {
      if (!this.#rng) {
        this.#rng = new port.TorchGenerator(this.seed);
        this.#rng.exponentials(this.head.V); // those of the first draw
      }
      this.noise = this.#rng.exponentials(this.head.V);
    }
    this.token = port.multinomial(this.probs, this.noise)[0];
    if (this.count === 0) this.first = this.token;
    this.counts[this.token]++;
    this.count++;
  }

  /** The ids that came in first in the last race, in order of arrival. */
  arrivals(possible) {
    return port.multinomial(this.probs, this.noise, Math.min(SHOWN, possible));
  }
}

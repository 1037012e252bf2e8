/** What can be chosen, and its form in the address: `#prompt=0&temperature=0.7&k=50&top_p=0.9&seed=0&draws=1`. */

export const MOST_DRAWS = 100_000;

/** A value that a box or the fragment holds and that cannot be used; `field` says which. */
export class Problem extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

function number(field, text, example) {
  const [trimmed, name] = [text.trim(), field.replace("_", "-")];
  if (trimmed === "") throw new Problem(field, `${name} is empty: type ${example}`);
  if (!/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(trimmed))
    throw new Problem(field, `${name} is "${trimmed.slice(0, 40)}": type ${example}`);
  return Number(trimmed);
}

function whole(field, text, low, high) {
  const value = number(field, text, `a whole number from ${low} to ${high}`);
  if (!(Number.isInteger(value) && value >= low && value <= high))
    throw new Problem(field, `${field} is ${text.trim()}: it must be a whole number from ${low} to ${high}`);
  return value;
}

/** Text -> value, for each part of the state. What the port refuses (0, 2.5 tokens) is left to its own words. */
export const READ = {
  prompt: (text, head) => whole("prompt", text, 0, head.prompts.length - 1),
  temperature: (text) => number("temperature", text, "a number above 0, such as 0.7"),
  k: (text, head) => number("k", text, `a whole number from 1 to V = ${head.V}`),
  top_p: (text) => number("top_p", text, "a number above 0 and up to 1, which is off"),
  min_p: (text) => number("min_p", text, "a number from 0, which is off, to 1"),
  order: (text, head) => {
    const names = Object.keys(head.orders);
    if (names.includes(text)) return text;
    throw new Problem("order", `order is "${text.slice(0, 40)}": it must be one of ${names.join(", ")}`);
  },
  seed: (text) => {
    const trimmed = text.trim();
    if (!/^[-+]?\d{1,20}$/.test(trimmed))
      throw new Problem("seed", `seed is "${trimmed.slice(0, 40)}": type a whole number, such as 0`);
    return BigInt(trimmed.replace("+", ""));
  },
  draws: (text) => whole("draws", text, 1, MOST_DRAWS),
  token: (text, head) => whole("token", text, 0, head.V - 1),
};

const UNTOLD = { top_p: 1, min_p: 0, order: "reference", token: null }; // not in the address; token: the most probable
export const START = { prompt: 0, temperature: 0.7, k: 50, seed: 0n, draws: 1, ...UNTOLD };

export function toFragment(state) {
  const parts = Object.entries(state).filter(([name, value]) => !(name in UNTOLD && value === UNTOLD[name]));
  return `#${parts.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&")}`;
}

/** The state of a fragment, and what in it could not be used. */
export function fromFragment(fragment, head) {
  const [state, problems] = [{ ...START }, []];
  for (const [name, text] of new URLSearchParams(fragment.replace(/^#/, ""))) {
    try {
      if (!Object.hasOwn(READ, name)) throw new Problem("fragment", `the link has "${name}", which this page does not know`);
      state[name] = READ[name](text, head);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problems.push(error);
    }
  }
  return { state, problems };
}

/** The steps of the slider of k: every k up to 20, then each about a tenth more, to V. */
export function stepsOfK(V) {
  const steps = [];
  for (let k = 1; k < V; k = k < 20 ? k + 1 : Math.round(k * 1.1)) steps.push(k);
  if (V > 50 && !steps.includes(50))
    steps.splice(
      steps.findIndex((k) => k > 50),
      0,
      50,
    ); // the lesson's
  return [...steps, V];
}

/** The bounds of reference/bounds that the verdicts need, of one row: how far a correct head may be from exact. */

const U = { float32: 2 ** -24, float64: 2 ** -53 };
const OMEGA = { float32: 2 ** -126, float64: 2 ** -1022 };
const [EXP_ULPS, LOG_ULPS, TANH_ULPS] = [4, 4, 4];

/** `n u / (1 - n u)`. */
export function gamma(n, dtype) {
  const nu = n * U[dtype];
  return nu < 1 ? nu / (1 - nu) : Infinity;
}

/** `sum_i |h_i| |w_v,i|` for every v: `(d), (V, d) -> (V)`, its own rounding covered. */
export function magnitude(context, embedding) {
  const d = context.length;
  const h = Float64Array.from(context, Math.abs);
  const sums = new Float64Array(embedding.length / d);
  for (let v = 0, at = 0; v < sums.length; v++) {
    let sum = 0;
    for (let i = 0; i < d; i++, at++) sum += h[i] * Math.abs(embedding[at]);
    sums[v] = sum * (1 + 2 * gamma(d, "float64"));
  }
  return sums;
}

/** Of the logits, from that magnitude  [LOGITS-2]. */
export function logits(magnitude, d, dtype) {
  const [relative, absolute] = [gamma(d, dtype), 2 * d * OMEGA[dtype]];
  return magnitude.map((m) => relative * m + absolute);
}

/** Of `cap * tanh(z * multiplier / divisor / cap)` from a z that is off by at most `error`  [OUT-5, OUT-6]. */
export function finish(z, { multiplier, divisor, cap }, dtype, error) {
  const [u, omega] = [U[dtype], OMEGA[dtype]];
  let [size, off] = [Math.abs(z), error];
  for (const factor of [multiplier, 1 / divisor]) {
    if (factor === 1) continue;
    [size, off] = [size * factor, off * factor];
    off += u * (size + off) + omega;
  }
  if (cap === Infinity) return off;
  const capped = Math.min(cap * Math.tanh(size / cap) + off, cap);
  return off + gamma(2 * TANH_ULPS + 2, dtype) * capped + omega * (1 + cap);
}

/** Of `z / T` from a logit that is off by at most `error`  [TEMP-1]. */
export const temperature = (z, T, dtype, error) => (error + U[dtype] * (Math.abs(z) + error)) / T + OMEGA[dtype];

/** Of `p / E` from a probability that is off by at most `error`  [DRAW-1]. */
export const race = (p, e, dtype, error) => (p > 0 ? (error + U[dtype] * (p + error)) / e + OMEGA[dtype] : 0);

/** Softmax in float64, the oracle where float32 is judged. */
export function exactSoftmax(z) {
  const max = z.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = z.map((x) => Math.exp(x - max));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / total);
}

/**
 * Absolute error of the softmax of logits that are off by at most `error`; the closed form  [SOFTMAX-1].
 *
 * @param {Float64Array} z (n), the survivors among V
 * @param {"float32" | "float64"} dtype
 * @param {Float64Array | null} error (n)
 * @param {Float64Array} p (n), the exact softmax of z
 * @param {number} V
 */
export function softmax(z, dtype, error, p, V) {
  const [u, omega] = [U[dtype], OMEGA[dtype]];
  let [max, worst] = [-Infinity, 0];
  for (let i = 0; i < z.length; i++) {
    if (z[i] > max) max = z[i];
    if (error && error[i] > worst) worst = error[i];
  }
  const epsExp = 2 * EXP_ULPS * u;
  const grown = new Float64Array(z.length); // expm1(a) of each
  let off = 0;
  for (let i = 0; i < z.length; i++) {
    grown[i] = Math.expm1(u * (Math.abs(z[i] - max) + 2 * worst) + epsExp / (1 - epsExp) + (error ? error[i] : 0));
    if (p[i] > 0) off += p[i] * grown[i];
  }
  const sumError = off + gamma(V, dtype) * (1 + off) + V * omega;
  const coversFloat64 = 1 + 2 * (V + 8) * U.float64;
  return p.map((chance, i) => {
    const relative = sumError < 1 ? (grown[i] * (1 + u) + u + sumError) / (1 - sumError) : Infinity;
    return Math.min(((chance > 0 ? chance * relative : 0) + 2 * omega) * coversFloat64, 1);
  });
}

/** How far off a parameter may be in the dtype: not at all if the dtype holds it. */
const parameter = (value, dtype) =>
  dtype === "float64" || Math.fround(value) === value ? 0 : U[dtype] * Math.abs(value) + OMEGA[dtype];

/**
 * Of a running sum of probabilities against `share`, of logits that are off by at most `error`, not all 0  [FILTER-2].
 *
 * @param {Float64Array} z (n), not masked
 * @param {number} share
 * @param {"float32" | "float64"} dtype
 * @param {Float64Array} error (n)
 * @param {Float64Array} p (n), the exact softmax of z
 * @param {number} V
 */
export function runningShare(z, share, dtype, error, p, V) {
  const off = softmax(z, dtype, error, p, V).reduce((a, b) => a + b, 0);
  return off + gamma(z.length + 2, dtype) * (1 + off) + parameter(share, dtype);
}

/** Of each `exp(z - max)` against p, of logits that are off by at most `error`, not all 0: `(n) -> (n)`  [FILTER-4]. */
export function weight(z, p, dtype, error) {
  const [u, omega] = [U[dtype], OMEGA[dtype]];
  const [max, worst] = [z, error].map((numbers) => numbers.reduce((a, b) => Math.max(a, b), -Infinity));
  const threshold = p > 0 ? Math.abs(Math.log(p)) : 0;
  return z.map((value, i) => {
    const x = value - max;
    if (x === 0 && error[i] === 0) return 0; // the largest is at or above any p, however that is rounded
    const rounds = u * (Math.abs(x) + 2 * Math.abs(value) + 4) + 4 * EXP_ULPS * u + 2 * LOG_ULPS * u * threshold;
    return Math.exp(x) * Math.expm1(rounds + error[i] + worst) + (2 + z.length) * omega + parameter(p, dtype);
  });
}

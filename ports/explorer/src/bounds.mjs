/** The bounds of reference/bounds.py that the verdicts need, of one row: how far a correct head may be from exact. */

const U = { float32: 2 ** -24, float64: 2 ** -53 };
const OMEGA = { float32: 2 ** -126, float64: 2 ** -1022 };
const EXP_ULPS = 4;

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

/** Of `z / T` from logits that are off by at most `error`  [TEMP-1]. */
export const temperature = (z, T, dtype, error) =>
  z.map((x, v) => (error[v] + U[dtype] * (Math.abs(x) + error[v])) / T + OMEGA[dtype]);

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
 * @param {Float64Array} z (V), -Infinity where a token is masked
 * @param {"float32" | "float64"} dtype
 * @param {Float64Array | null} error (V)
 * @param {Float64Array} p (V), the exact softmax of z
 */
export function softmax(z, dtype, error, p) {
  const [u, n, omega] = [U[dtype], z.length, OMEGA[dtype]];
  let [max, worst] = [-Infinity, 0];
  for (let v = 0; v < n; v++) {
    if (z[v] > max) max = z[v];
    if (error && z[v] > -Infinity && error[v] > worst) worst = error[v];
  }
  const epsExp = 2 * EXP_ULPS * u;
  const grown = new Float64Array(n); // expm1(a) of each
  let off = 0;
  for (let v = 0; v < n; v++) {
    if (z[v] === -Infinity) continue;
    grown[v] = Math.expm1(u * (Math.abs(z[v] - max) + 2 * worst) + epsExp / (1 - epsExp) + (error ? error[v] : 0));
    if (p[v] > 0) off += p[v] * grown[v];
  }
  const sumError = off + gamma(n, dtype) * (1 + off) + n * omega;
  const coversFloat64 = 1 + 2 * (n + 8) * U.float64;
  return z.map((x, v) => {
    if (x === -Infinity) return 0;
    const relative = sumError < 1 ? (grown[v] * (1 + u) + u + sumError) / (1 - sumError) : Infinity;
    return Math.min(((p[v] > 0 ? p[v] * relative : 0) + 2 * omega) * coversFloat64, 1);
  });
}

/** What filters, penalties and scores refuse alike. Bad logits are refused by `topK` of lm_head.mjs. */

/** @type {(code: string, message: string, Kind?: ErrorConstructor) => never} */
export function refuse(code, message, Kind = RangeError) {
  throw Object.assign(new Kind(message), { code });
}

/** The rounding to the dtype of the logits, for a number that is computed or given in float64. */
export const roundingOf = (logits) => (logits instanceof Float32Array ? Math.fround : (x) => x);

export function checkNumber(name, value, code) {
  if (typeof value !== "number") refuse(code, `${name} is ${value}: it must be one number`, TypeError);
}

/** An integer of at least `least`. */
export function checkInteger(name, value, code, least = -Infinity) {
  if (!Number.isInteger(value)) refuse(code, `${name} is ${value}: it must be an integer`, TypeError);
  if (value < least) refuse(code, `${name} is ${value}: it must be at least ${least}`);
}

/** One of two words. */
export function checkWord(name, value, ...words) {
  if (!words.includes(value)) refuse(`bad_${name}`, `${name} is ${value}: it must be ${words.join(" or ")}`);
}

/** One number in [0, 1) for each row. */
export function checkUniform(uniform, rows) {
  if (!(uniform instanceof Float32Array || uniform instanceof Float64Array))
    refuse("bad_uniform", "uniform is not a Float32Array or Float64Array: it needs one number a row", TypeError);
  if (uniform.length !== rows) refuse("bad_shape", `uniform has ${uniform.length} numbers: one a row are ${rows}`);
  uniform.forEach((u, row) => {
    if (!(u >= 0 && u < 1)) refuse("bad_uniform", `uniform[${row}] is ${u}: it must be in [0, 1)`);
  });
}

/** Token ids in [0, V), but for one that is ignored: an array, or a typed array of integers. */
export function checkIds(name, ids, V, ignored) {
  if (ids instanceof Float32Array || ids instanceof Float64Array)
    refuse("bad_dtype", `${name} is an array of floats: token ids are integers`, TypeError);
  if (!(Array.isArray(ids) || ArrayBuffer.isView(ids)) || Array.from(ids).some(Array.isArray))
    refuse("bad_shape", `${name} must be one flat array of token ids`);
  ids.forEach((id, i) => {
    if (!Number.isInteger(id)) refuse("bad_token_ids", `${name}[${i}] is ${id}: token ids are integers`, TypeError);
    if (!(id >= 0 && id < V) && id !== ignored)
      refuse("bad_token_ids", `${name}[${i}] is ${id}: it must be in [0, ${V}), the vocabulary; leave out padding`);
  });
}

/** One token id for each row. */
export function checkTargets(tokenIds, rows, V, ignored) {
  checkIds("tokenIds", tokenIds, V, ignored);
  if (tokenIds.length !== rows) refuse("bad_shape", `tokenIds has ${tokenIds.length} ids: one a row are ${rows}`);
}

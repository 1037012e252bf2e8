/**
 * Reads a bundle (weights_export/FORMAT.md) in Node or in a browser. The caller provides a function that reads a file.
 *
 *     const read = async (name) => (await fetch(`tiny-bundle/${name}`)).arrayBuffer();
 *     const { embedding, context, bias, finish, V, d } = await openBundle(read);
 *
 * What starts from `context` needs head.* and contexts.* alone, which `names` can say: neither float64 nor tokens.
 *
 * @module
 */

const FORMAT = "lm-head-bundle";
const VERSIONS = [2, 3];

// Typed arrays have the byte order of the machine, and the files are little-endian.
if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) throw new Error("bundles need a little-endian machine");

/** A bundle that is missing, damaged, or of another format or version. */
export class BundleError extends Error {
  code = "bad_bundle";
}

/** float16: a sign, five bits of exponent and ten of fraction. */
function widenFloat16(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 1024 + fraction : fraction) * 2 ** ((exponent || 1) - 25);
}

/** bfloat16 is the upper half of a float32. */
const widenBfloat16 = (halves) => new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer);

/** dtype -> the type of the stored numbers, and how they become floats. A float32 can hold every 16-bit float. */
const DTYPES = {
  float64: [Float64Array, (numbers) => numbers],
  float32: [Float32Array, (numbers) => numbers],
  float16: [Uint16Array, (halves) => Float32Array.from(halves, widenFloat16)],
  bfloat16: [Uint16Array, widenBfloat16],
};

function parseJson(bytes, what) {
  let value;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new BundleError(`${what} is not JSON: ${error.message}`);
  }
  if (typeof value !== "object" || value === null) throw new BundleError(`${what} is not a JSON object`);
  return value;
}

const isSize = (n) => Number.isSafeInteger(n) && n >= 0;

async function sha256(bytes, subtle) {
  const digest = new Uint8Array(await subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The manifest, checked against the SHA-256 that it holds of its own bytes, with zeros in place of these 64 digits.
 *
 * @param {ArrayBuffer} bytes of manifest.json
 * @param {SubtleCrypto} subtle
 */
export async function parseManifest(bytes, subtle) {
  const manifest = parseJson(bytes, "manifest.json");
  if (manifest.format !== FORMAT || !VERSIONS.includes(manifest.version))
    throw new BundleError(`format ${manifest.format} version ${manifest.version} is not ${FORMAT} 2 or 3`);
  const text = new TextDecoder().decode(bytes);
  const seal = String(manifest.sha256);
  const at = text.lastIndexOf(seal);
  const unsealed = new TextEncoder().encode(text.slice(0, at) + "0".repeat(64) + text.slice(at + 64));
  if (seal.length !== 64 || (await sha256(unsealed, subtle)) !== seal)
    throw new BundleError("manifest.json does not match its own sha256: export the bundle again");
  return manifest;
}

/**
 * One tensor that the manifest lists. Where it is aligned, a float32 or float64 tensor is a view of the file: no copy.
 *
 * @param {object} manifest
 * @param {string} name
 * @param {Map<string, ArrayBuffer>} files
 * @param {number[]} shape the shape that it must have
 * @returns {Float32Array | Float64Array}
 */
export function tensorOf(manifest, name, files, shape) {
  const tensor = manifest.tensors?.[name];
  const file = files.get(tensor?.file);
  if (!file || !Object.hasOwn(DTYPES, tensor.dtype) || JSON.stringify(tensor.shape) !== JSON.stringify(shape))
    throw new BundleError(`there is no tensor ${name} of shape [${shape}] in the bundle`);
  const [Stored, widen] = DTYPES[tensor.dtype];
  const count = shape.reduce((a, b) => a * b, 1);
  const [start, end] = [tensor.offset, tensor.offset + count * Stored.BYTES_PER_ELEMENT];
  if (!(isSize(start) && end <= file.byteLength)) throw new BundleError(`tensor ${name} does not fit into its file`);
  const aligned = start % Stored.BYTES_PER_ELEMENT === 0;
  return widen(aligned ? new Stored(file, start, count) : new Stored(file.slice(start, end)));
}

const isPositive = (x) => typeof x === "number" && Math.fround(x) > 0 && Math.fround(x) < Infinity;
const hasKeys = (object, ...keys) =>
  typeof object === "object" && object !== null && Object.keys(object).sort().join() === keys.sort().join();

/**
 * What comes after the product: options of `finishLogits`, which change nothing for a GPT-2. A step or a norm that this
 * reader does not know is refused, since without it the logits would be others.
 *
 * @param {object} manifest
 * @returns {{multiplier: number, divisor: number, cap: number}}
 */
export function finishOf({ version, output_layer: layer }) {
  if (version === 2) return { multiplier: 1, divisor: 1, cap: Infinity };
  if (!hasKeys(layer, "norm", "multiplier", "divisor", "cap"))
    throw new BundleError("output_layer must have norm, multiplier, divisor and cap, and nothing else");
  const { norm, multiplier, divisor, cap } = layer;
  if (![multiplier, divisor, cap ?? 1].every(isPositive))
    throw new BundleError(`multiplier ${multiplier}, divisor ${divisor} or cap ${cap} of output_layer is not above 0`);
  const known =
    hasKeys(norm, "kind", "epsilon", "weight_offset") &&
    ["layer_norm", "rms_norm"].includes(norm.kind) &&
    isPositive(norm.epsilon) &&
    Number.isFinite(norm.weight_offset);
  if (norm !== null && !known) throw new BundleError(`output_layer has an unknown norm: ${JSON.stringify(norm)}`);
  return { multiplier, divisor, cap: cap ?? Infinity };
}

/**
 * Opens a bundle and checks the size and SHA-256 of every file that it reads.
 *
 * @param {(name: string) => Promise<ArrayBuffer>} read
 * @param {{names?: string[], subtle?: SubtleCrypto}} options `names`: the files to read, by default all listed ones;
 *   `subtle`: needed where there is no global `crypto.subtle`, as in Node 18 and in pages loaded over plain HTTP
 * @returns {Promise<{manifest: object, V: number, d: number, contexts: number, embedding: Float32Array,
 *   context: Float32Array, bias?: Float32Array, finish: {multiplier: number, divisor: number, cap: number},
 *   files: Map<string, ArrayBuffer>}>} embedding (V, d), context (contexts, d), bias (V);
 *   `finishLogits(logits, bias, finish)`
 */
export async function openBundle(read, { names, subtle = globalThis.crypto?.subtle } = {}) {
  const readWhole = async (name) => {
    try {
      return await read(name);
    } catch (error) {
      throw new BundleError(`${name} cannot be read: ${error.message}`);
    }
  };
  const manifest = await parseManifest(await readWhole("manifest.json"), subtle);
  const files = new Map();
  for (const name of names ?? Object.keys(manifest.files ?? {})) {
    if (/[/\\]/.test(name)) throw new BundleError(`${name} is not the name of a file inside the bundle`);
    const [bytes, listed] = [await readWhole(name), manifest.files?.[name]];
    if (bytes.byteLength !== listed?.size || (await sha256(bytes, subtle)) !== listed.sha256)
      throw new BundleError(`${name} is not of the size and sha256 in manifest.json: export the bundle again`);
    files.set(name, bytes);
  }
  const { vocab_size: V, hidden_size: d, prompts: contexts } = manifest;
  if (![V, d, contexts].every(isSize) || V * d === 0) throw new BundleError(`the manifest has V = ${V} and d = ${d}`);
  const embedding = tensorOf(manifest, "embedding", files, [V, d]);
  const context = contexts ? tensorOf(manifest, "context", files, [contexts, d]) : new Float32Array(0);
  const bias = manifest.version > 2 && manifest.tensors.bias ? tensorOf(manifest, "bias", files, [V]) : undefined;
  return { manifest, V, d, contexts, embedding, context, bias, finish: finishOf(manifest), files };
}

/** How a token is shown: its bytes as text, in which spaces, line ends and bytes that are not characters can be seen. */

const VISIBLE = { " ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍" };
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

const hex = (byte) => `\\x${byte.toString(16).padStart(2, "0").toUpperCase()}`;

/**
 * The tokens of a bundle.
 *
 * @param {{tokens: string[], special: number[]} | null} table tokens.json, or null where the bundle has none
 */
export class Tokens {
  constructor(table) {
    this.table = table;
    this.shown = new Map();
  }

  /** The text of token `id`; `#id` where it has none. */
  show(id) {
    if (!this.shown.has(id)) this.shown.set(id, this.#text(id));
    return this.shown.get(id);
  }

  /** The same within a sentence. */
  quote(id) {
    return `“${this.show(id)}”`;
  }

  #text(id) {
    const digits = this.table?.tokens[id] ?? "";
    if (digits === "") return `#${id}`;
    const bytes = Uint8Array.from({ length: digits.length / 2 }, (_, i) =>
      parseInt(digits.slice(2 * i, 2 * i + 2), 16),
    );
    let text;
    try {
      text = decoder.decode(bytes);
    } catch {
      return Array.from(bytes, (byte) => (byte > 32 && byte < 127 ? String.fromCharCode(byte) : hex(byte))).join("");
    }
    return text.replace(/[\s\p{C}]/gu, (c) => VISIBLE[c] ?? Array.from(encoder.encode(c), hex).join(""));
  }
}

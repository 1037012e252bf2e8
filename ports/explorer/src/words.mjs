/** Numbers and words as the page writes them. */

export const $ = (id) => document.getElementById(id);

const thousands = new Intl.NumberFormat("en-US");
export const count = (n) => thousands.format(n);
export const percent = (p) => `${(100 * p).toFixed(p < 0.001 ? 3 : 1)}%`;

/** A minus sign is "−" in d3's axes and here. */
export const fixed = (x, digits) => x.toFixed(digits).replace("-", "−");

/** Four digits, of numbers of any size. */
export function short(x) {
  if (x === 0) return "0";
  return x >= 1e5 || x < 1e-4 ? x.toExponential(3).replace("-", "−").replace("+", "") : x.toPrecision(4);
}

/** Write a text where it is not there already, into the text node that is: the rest need not be laid out again. */
export function written(id, text) {
  const element = $(id);
  if (element.firstChild?.nodeType !== Node.TEXT_NODE) element.textContent = text;
  else if (element.firstChild.data !== text) element.firstChild.data = text;
}

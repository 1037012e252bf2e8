/** Numbers and words as the page writes them. */

export const $ = (id) => document.getElementById(id);

const thousands = new Intl.NumberFormat("en-US");
export const count = (n) => thousands.format(n);
export const percent = (p) =>
  p > 0 && p < 1e-5 ? "less than 0.001%" : `${(100 * p).toFixed(p > 0 && p < 0.001 ? 3 : 1)}%`;

/** A minus sign is "−" in d3's axes and here. */
export const fixed = (x, digits) => x.toFixed(digits).replace("-", "−");

/** Some digits of a number of any size. */
export function short(x, digits = 4) {
  if (x === 0) return "0";
  return x >= 1e5 || x < 1e-4 ? x.toExponential(digits - 1).replace("-", "−").replace("+", "") : x.toPrecision(digits);
}

/** How many times as much: 1.42, 60.1, 5,680, 5.68e24. */
export function times(x) {
  if (x > 1e300) return "more than 1e300";
  return x < 1000 ? x.toPrecision(3) : x < 1e6 ? count(x.toPrecision(3)) : short(x, 3);
}

/** Write a text where it is not there already, into the text node that is: the rest need not be laid out again. */
export function written(id, text) {
  const element = $(id);
  if (element.firstChild?.nodeType !== Node.TEXT_NODE) element.textContent = text;
  else if (element.firstChild.data !== text) element.firstChild.data = text;
}

/**
 * A table with a bar in each row and d3's axis above them: the numbers are its own text alternative. Rows and their
 * text nodes are made once and written into, and a bar is its cell's background: nothing else is laid out again.
 */

import { axisTop } from "d3-axis";
import { select } from "d3-selection";
import { widthOf } from "./charts.mjs";

const NS = "http://www.w3.org/2000/svg";
const SHORT = 8; // characters of a token for which there is always room; clipping each row's would cost a layer each

/** An element with attributes and children; roles are written out, since rows become grids on narrow screens. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @typedef {{cells: string[], value: number, tick?: number, state: string, data: Record<string, string>}} Row */

export class BarTable {
  /**
   * @param {HTMLTableElement} table with a caption
   * @param {{label: string, kind: "token" | "number" | "minor"}[]} columns
   * @param {string} barLabel
   */
  constructor(table, columns, barLabel) {
    this.columns = columns;
    table.setAttribute("role", "table");
    this.axis = document.createElementNS(NS, "svg");
    this.axis.setAttribute("class", "axis");
    this.axis.setAttribute("aria-hidden", "true");
    const labels = columns.map(({ label, kind }) =>
      make("th", { scope: "col", role: "columnheader", class: kind }, label),
    );
    const place = make("th", { scope: "col", role: "columnheader", class: "bar" });
    place.append(make("span", { class: "hidden" }, barLabel), this.axis);
    table.append(make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...labels, place)));
    this.body = table.appendChild(make("tbody", { role: "rowgroup" }));
    this.rows = [];
  }

  #row() {
    const cells = this.columns.map(({ kind }, i) => {
      const attributes = i ? { role: "cell", class: kind } : { scope: "row", role: "rowheader", class: kind };
      return make(i ? "td" : "th", attributes, "");
    });
    const bar = make("td", { role: "cell", class: "bar" });
    const element = make("tr", { role: "row" }, ...cells, bar);
    this.body.append(element);
    return { element, token: cells[0], texts: cells.map((cell) => cell.firstChild), bar, written: new Map() };
  }

  /**
   * @param {Row[]} rows `data` goes into the row's data attributes
   * @param {import("d3-scale").ScaleContinuousNumeric} scale of the bars; its range is set here
   * @param {(axis: object) => object} ticks
   */
  update(rows, scale, ticks = (axis) => axis.ticks(3)) {
    while (this.rows.length < rows.length) this.rows.push(this.#row());
    while (this.rows.length > rows.length) this.rows.pop().element.remove();
    const at = scale.copy().range([0, 100]);
    rows.forEach((row, i) => {
      const { element, token, texts, bar, written } = this.rows[i];
      const write = (place, name, value) => {
        if (written.get(name) !== value) written.set(name, (place[name] = value));
      };
      row.cells.forEach((text, c) => texts[c].data !== text && (texts[c].data = text));
      const kind = row.cells[0].length > SHORT ? "token long" : "token";
      if (token.className !== kind) token.className = kind;
      if (element.className !== row.state) element.className = row.state;
      for (const [name, value] of Object.entries(row.data)) write(element.dataset, name, value);
      const share = `${row.value > 0 ? Math.max(at(row.value), 0).toFixed(2) : 0}% 1em`;
      write(bar.style, "backgroundSize", row.tick === undefined ? share : `2px 1em, ${share}`);
      if (row.tick !== undefined) write(bar.style, "backgroundPosition", `${at(row.tick).toFixed(2)}%, left`);
    });
    const width = widthOf(this.axis);
    const key = [...scale.domain(), width].join();
    if (key === this.axisKey || !width) return;
    this.axisKey = key;
    select(this.axis).call(
      ticks(
        axisTop(scale.copy().range([0, width]))
          .tickSizeOuter(0)
          .tickSize(4),
      ),
    );
  }
}

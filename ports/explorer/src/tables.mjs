/** A table with a bar in each row and d3's axis above them: the numbers are its own text alternative. */

import { axisTop } from "d3-axis";
import { select } from "d3-selection";
import { widthOf } from "./charts.mjs";

const NS = "http://www.w3.org/2000/svg";

/** An element with attributes and children; roles are written out, since rows become grids on narrow screens. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @typedef {{cells: string[], value: number, tick?: number, state?: string, data: Record<string, string>}} Row */

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
    const cells = this.columns.map(({ kind }, i) =>
      i ? make("td", { role: "cell", class: kind }) : make("th", { scope: "row", role: "rowheader", class: kind }),
    );
    const svg = document.createElementNS(NS, "svg");
    const bar = svg.appendChild(document.createElementNS(NS, "rect"));
    const tick = svg.appendChild(document.createElementNS(NS, "line"));
    tick.setAttribute("y2", "100%");
    svg.setAttribute("aria-hidden", "true");
    const element = make("tr", { role: "row" }, ...cells, make("td", { role: "cell", class: "bar" }, svg));
    this.body.append(element);
    return { element, cells, bar, tick };
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
      const { element, cells, bar, tick } = this.rows[i];
      row.cells.forEach((text, c) => cells[c].textContent !== text && (cells[c].textContent = text));
      element.className = row.state ?? "";
      Object.assign(element.dataset, row.data);
      bar.setAttribute("width", `${row.value > 0 ? Math.max(at(row.value), 0) : 0}%`);
      tick.setAttribute("class", row.tick === undefined ? "none" : "");
      if (row.tick !== undefined)
        (tick.setAttribute("x1", `${at(row.tick)}%`), tick.setAttribute("x2", `${at(row.tick)}%`));
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

// Tables: sorted by their headings, filtered by text, shown page by page, so that any number of rows is fine.
"use strict";

nw.PAGE = 50;
nw.NUMERIC = new Set(["number", "integer", "share", "bytes", "ms", "seconds", "factor", "trial"]);

nw.cell = (column, get) => {
  const { kind, unit } = column;
  const value = get(column.key);
  const numeric = nw.NUMERIC.has(column.kind);
  const wide = typeof value === "string" && column.kind === "text" ? (value.length > 160 ? " wide" : value.length > 28 ? " long" : " short") : "";
  const cell = nw.el("td", { class: numeric ? "numeric" : column.kind + wide });
  if (column.kind === "trial" && value !== null) {
    cell.append(nw.el("a", { href: `#trial=${value}` }, String(value)));
  } else if (column.kind === "state") {
    if (value) cell.append(nw.el("span", { class: "state", "data-state": value }, value));
  } else if (column.kind === "code") {
    cell.append(nw.el("code", {}, value === null ? "" : String(value)));
  } else if (typeof value === "number") {
    const exact = kind === "share" ? String(value) : value.toLocaleString("en", { maximumSignificantDigits: 12 });
    cell.append(nw.el("span", { title: exact }, nw.text(value, kind, unit)));
  } else {
    cell.append(value === null || value === undefined ? (column.absent && get(column.absent)) || (numeric ? nw.ABSENT : "") : String(value));
  }
  const spread = column.spread ? get(column.spread) : null;
  if (spread !== null && value !== null) cell.append(` ± ${nw.spreadText(spread, kind, unit)}`);
  const more = [
    column.low && nw.rangeText(get(column.low), get(column.high), kind, unit),
    column.change && nw.changeText(get(column.change), kind),
    column.factor && nw.factorText(get(column.factor), column.better),
  ];
  for (const text of more) if (text) cell.append(nw.el("small", {}, text));
  const remark = column.remark ? get(column.remark) : "";
  if (remark) cell.append(nw.el("small", { class: "remark" }, remark));
  return cell;
};

nw.compare = (a, b) => {
  const none = (value) => value === null || value === undefined || value === "";
  if (none(a) || none(b)) return none(a) - none(b) || 0;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
};

nw.order = (panel, state) => {
  const place = Object.fromEntries(panel.keys.map((key, index) => [key, index]));
  let rows = nw.explored(panel, state);
  if (state.filter) {
    const wanted = state.filter.toLowerCase();
    rows = rows.filter((row) => row.some((value) => value !== null && String(value).toLowerCase().includes(wanted)));
  }
  if (!state.sort) return rows;
  const index = place[state.sort];
  const absent = (row) => row[index] === null || row[index] === "";
  return rows.map((row, at) => [row, at]).sort(([a, i], [b, j]) => {
    // What is absent stands last in either direction.
    if (absent(a) || absent(b)) return absent(a) - absent(b) || i - j;
    return (state.down ? -1 : 1) * nw.compare(a[index], b[index]) || i - j;
  }).map(([row]) => row);
};

nw.fillTable = (panel, state, parts) => {
  const { body, head, foot, filter } = parts;
  const rows = nw.order(panel, state);
  const link = body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  filter.hidden = panel.rows.length <= 12;
  const pages = Math.max(1, Math.ceil(rows.length / nw.PAGE));
  state.page = Math.min(state.page, pages - 1);
  const place = Object.fromEntries(panel.keys.map((key, index) => [key, index]));
  body.replaceChildren(...rows.slice(state.page * nw.PAGE, (state.page + 1) * nw.PAGE).map((row) => {
    const get = (key) => (key in place && row[place[key]] !== undefined ? row[place[key]] : null);
    return nw.el("tr", {}, panel.columns.map((column) => nw.cell(column, get)));
  }));
  if (link) body.querySelector(`a[href="${link}"]`)?.focus({ preventScroll: true });
  for (const [index, heading] of [...head.children].entries()) {
    const mine = panel.columns[index].key === state.sort;
    heading.setAttribute("aria-sort", mine ? (state.down ? "descending" : "ascending") : "none");
  }
  const step = (by, label) => nw.el("button", {
    type: "button",
    disabled: state.page + by < 0 || state.page + by >= pages,
    onclick: () => { state.page += by; nw.fillTable(panel, state, parts); },
  }, label);
  const shown = `${nw.count(rows.length, "row")}, page ${state.page + 1} of ${pages}`;
  const pressed = [...foot.children].indexOf(document.activeElement);
  foot.replaceChildren(...(pages > 1 || state.filter ? [step(-1, "Previous"), nw.el("span", {}, shown), step(1, "Next")] : []));
  if (pressed >= 0) foot.children[pressed]?.focus({ preventScroll: true });
};

// The rows as they are filtered and sorted now, with every key, as a file.
nw.csv = (panel, state) => {
  const cell = (value) => (value === null || value === undefined ? "" : /[",\n\r]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  return [panel.keys, ...nw.order(panel, state)].map((row) => panel.keys.map((key, index) => cell(row[index])).join(",")).join("\n") + "\n";
};

nw.download = (panel, state) => {
  const address = URL.createObjectURL(new Blob([nw.csv(panel, state)], { type: "text/csv" }));
  const link = nw.el("a", { href: address, download: `${nw.page.run.name}-${panel.name}.csv` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
};

// The table of a panel; `state` (sorting, page, filter) outlives it, and `fill` brings its rows up to date: where a
// person has scrolled to in it, and what has the focus, stay.
nw.table = (panel, state) => {
  const body = nw.el("tbody");
  const foot = nw.el("div", { class: "pages" });
  const head = nw.el("tr", {}, panel.columns.map((column) => {
    const turn = () => {
      state.down = state.sort === column.key ? !state.down : false;
      state.sort = column.key;
      state.page = 0;
      nw.fillTable(panel, state, parts);
    };
    const unit = column.unit && nw.NUMERIC.has(column.kind) && column.kind === "number" ? ` (${column.unit})` : "";
    const name = nw.el("button", { type: "button", onclick: turn }, column.label + unit);
    return nw.el("th", { scope: "col", class: nw.NUMERIC.has(column.kind) ? "numeric" : null }, name);
  }));
  const filter = nw.el("input", {
    type: "search", placeholder: "Filter rows", "aria-label": `Filter the rows of ${panel.title}`, value: state.filter,
    oninput: () => { state.filter = filter.value; state.page = 0; nw.fillTable(panel, state, parts); },
  });
  const parts = { body, head, foot, filter };
  const node = nw.el("div", { class: "table" }, filter,
    nw.el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${panel.title}: table` },
      nw.el("table", {}, nw.el("thead", {}, head), body)),
    nw.el("div", { class: "tools" }, foot,
      nw.el("button", { type: "button", class: "csv", onclick: () => nw.download(panel, state) }, "Download CSV")));
  return { node, fill: () => nw.fillTable(panel, state, parts) };
};

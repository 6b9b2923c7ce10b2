// Exploring the front: any two metrics, logarithms, groups shown or hidden, limits typed or drawn as a box.
"use strict";

nw.OPS = { "≥": (value, limit) => value >= limit, "≤": (value, limit) => value <= limit };

// Whether an object with values by metric, such as a compressed stage, keeps the limits.
nw.within = (state) => (row) => (state.limits || []).every(({ key, op, value }) => typeof row[key] === "number" && nw.OPS[op](row[key], value));

// Whether a row of an explorable panel is within the limits and in a group that is shown.
nw.kept = (panel, state) => {
  const place = Object.fromEntries(panel.keys.map((key, index) => [key, index]));
  const limits = state.limits || [];
  const hidden = state.hidden || new Set();
  return (row) => !hidden.has(row[place.group])
    && limits.every(({ key, op, value }) => typeof row[place[key]] === "number" && nw.OPS[op](row[place[key]], value));
};

nw.explored = (panel, state) => {
  if (!panel.figure?.layout.meta?.directions || !(state.limits?.length || state.hidden?.size)) return panel.rows;
  return panel.rows.filter(nw.kept(panel, state));
};

// The rows that no other beats in both metrics; only finished trials within the bounds count.
nw.edge = (panel, rows, x, y) => {
  const { directions, edge } = panel.figure.layout.meta;
  if (!(x in directions) || !(y in directions) || x === y) return [];
  const place = Object.fromEntries(panel.keys.map((key, index) => [key, index]));
  const sign = (key) => (directions[key] === "maximize" ? -1 : 1);
  const points = rows.filter((row) => edge.includes(row[place.group]) && typeof row[place[x]] === "number" && typeof row[place[y]] === "number")
    .map((row) => [row[place[x]], row[place[y]], row[place.number]])
    .sort((a, b) => sign(x) * (a[0] - b[0]) || sign(y) * (a[1] - b[1]));
  let best = Infinity;
  const kept = points.filter((point) => sign(y) * point[1] < best && ((best = sign(y) * point[1]), true));
  return kept.sort((a, b) => a[0] - b[0]);
};

nw.limitText = (panel, { key, op, value }) => {
  const column = panel.columns.find((c) => c.key === key) || { label: key };
  return `${column.label} ${op} ${nw.text(value, column.kind || "number", column.unit)}`;
};

// What a person types for a metric, such as 90 for 90 %, and in a record 0.9.
nw.typed = (panel, key, text) => {
  const value = Number(text);
  return panel.columns.find((c) => c.key === key)?.kind === "share" ? value / 100 : value;
};

nw.explorer = (panel, state, redraw) => {
  const { meta } = panel.figure.layout;
  const metrics = Object.keys(meta.axes);
  const again = () => { state.page = 0; redraw(); };
  const option = (key, current) => nw.el("option", { value: key, selected: key === current }, nw.plain(meta.axes[key].title.text));
  const axis = (name, letter) => {
    const current = state.axes?.[letter] || meta[letter];
    const choice = nw.el("select", { onchange: () => {
      state.axes = { x: meta.x, y: meta.y, ...state.axes, [letter]: choice.value };
      if (state.log) delete state.log[letter];
      again();
    } }, metrics.map((key) => option(key, current)));
    const log = nw.el("input", { type: "checkbox", "data-log": letter,
      onchange: () => { state.log = { ...state.log, [letter]: log.checked }; again(); } });
    return nw.el("span", { class: "axis" }, nw.el("label", {}, `${name} `, choice), nw.el("label", {}, log, " log"));
  };
  const present = new Set(panel.rows.map((row) => row[panel.keys.indexOf("group")]));
  const groups = panel.figure.data.map((trace) => trace.name).filter((name) => present.has(name)).reverse();
  const boxes = groups.map((group) => {
    const box = nw.el("input", { type: "checkbox", checked: !state.hidden?.has(group), onchange: () => {
      state.hidden ??= new Set();
      state.hidden[box.checked ? "delete" : "add"](group);
      again();
    } });
    return nw.el("label", {}, box, ` ${group}`);
  });
  const drop = (limit) => { state.limits = state.limits.filter((one) => one !== limit); again(); };
  const chips = (state.limits || []).map((limit) => nw.el("span", { class: "chip" }, nw.limitText(panel, limit),
    nw.el("button", { type: "button", "aria-label": `Remove the limit ${nw.limitText(panel, limit)}`, onclick: () => drop(limit) }, "×")));
  const key = nw.el("select", { "aria-label": "Metric of the limit" }, metrics.map((one) => option(one, meta.y)));
  const op = nw.el("select", { "aria-label": "Kind of limit" }, Object.keys(nw.OPS).map((one) => nw.el("option", {}, one)));
  const value = nw.el("input", { type: "number", step: "any", required: true, "aria-label": "Value of the limit", placeholder: "value" });
  const form = nw.el("form", { onsubmit: (event) => {
    event.preventDefault();
    state.limits = [...(state.limits || []), { key: key.value, op: op.value, value: nw.typed(panel, key.value, value.value) }];
    again();
  } }, nw.el("span", {}, "Only "), key, op, value, nw.el("button", { type: "submit" }, "Add limit"));
  const shown = nw.explored(panel, state).length;
  const narrowed = state.limits?.length || state.hidden?.size;
  const clear = nw.el("button", { type: "button", onclick: () => { state.limits = []; state.hidden = new Set(); again(); } }, "Show all");
  return nw.el("div", { class: "axes explorer" },
    metrics.length > 2 ? [axis("Across", "x"), axis("Up", "y")] : null,
    groups.length > 1 ? nw.el("fieldset", {}, nw.el("legend", {}, "Show"), boxes) : null,
    form, chips,
    narrowed ? nw.el("span", { class: "count" }, `${shown.toLocaleString("en")} of ${panel.rows.length.toLocaleString("en")} trials shown `, clear) : null);
};

// A box drawn in the plot becomes limits on both axes.
nw.brushed = (panel, state, range) => {
  const { meta } = panel.figure.layout;
  const axes = { x: meta.x, y: meta.y, ...state.axes };
  const digits = (value) => Number(value.toPrecision(4));
  const limits = ["x", "y"].flatMap((letter) => {
    const [low, high] = [...range[letter]].sort((a, b) => a - b);
    return [{ key: axes[letter], op: "≥", value: digits(low) }, { key: axes[letter], op: "≤", value: digits(high) }];
  });
  const same = (one) => limits.some((limit) => limit.key === one.key && limit.op === one.op);
  state.limits = [...(state.limits || []).filter((one) => !same(one)), ...limits];
};

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

nw.explores = (panel) => Boolean(panel.figure?.layout.meta?.directions);

nw.groups = (panel) => {
  const present = new Set(panel.rows.map((row) => row[panel.keys.indexOf("group")]));
  return panel.figure.data.map((trace) => trace.name).filter((name) => present.has(name)).reverse();
};

nw.explored = (panel, state) => {
  if (!nw.explores(panel) || !(state.limits?.length || state.hidden?.size)) return panel.rows;
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

nw.axisTools = (panel, state, letter, name, again) => {
  const { meta } = panel.figure.layout;
  const choice = nw.el("select", { onchange: () => {
    state.axes = { x: meta.x, y: meta.y, ...state.axes, [letter]: choice.value };
    if (state.log) delete state.log[letter];
    again();
  } }, nw.metricOptions(panel, state.axes?.[letter] || meta[letter]));
  const log = nw.el("input", { type: "checkbox", "data-log": letter,
    onchange: () => { state.log = { ...state.log, [letter]: log.checked }; again(); } });
  return nw.el("span", { class: "axis" }, nw.el("label", {}, `${name} `, choice), nw.el("label", {}, log, " log"));
};

nw.metricOptions = (panel, current) => Object.entries(panel.figure.layout.meta.axes).map(([key, axis]) =>
  nw.el("option", { value: key, selected: key === current }, nw.plain(axis.title.text)));

nw.limitForm = (panel, state, again) => {
  const key = nw.el("select", { "aria-label": "Metric of the limit" }, nw.metricOptions(panel, panel.figure.layout.meta.y));
  const op = nw.el("select", { "aria-label": "Kind of limit" }, Object.keys(nw.OPS).map((one) => nw.el("option", {}, one)));
  const value = nw.el("input", { type: "number", step: "any", required: true, "aria-label": "Value of the limit", placeholder: "value" });
  return nw.el("form", { onsubmit: (event) => {
    event.preventDefault();
    state.limits = [...(state.limits || []), { key: key.value, op: op.value, value: nw.typed(panel, key.value, value.value) }];
    value.value = "";
    again();
  } }, nw.el("span", {}, "Only "), key, op, value, nw.el("button", { type: "submit" }, "Add limit"));
};

// The tools above the plot: `node` stays as it is while a run goes on, `refresh` brings limits and counts up to date.
nw.explorer = (panel, state, redraw) => {
  const again = () => { state.page = 0; redraw(); };
  const boxOf = (group) => nw.el("label", {}, nw.el("input", { type: "checkbox", "data-group": group,
    onchange: (event) => {
      state.hidden ??= new Set();
      state.hidden[event.target.checked ? "delete" : "add"](group);
      again();
    } }), ` ${group}`);
  const boxes = new Map();
  const legend = nw.el("fieldset", {}, nw.el("legend", {}, "Show"));
  const form = nw.limitForm(panel, state, again);
  const chips = nw.el("span", { class: "chips" });
  const drop = (limit) => { state.limits = state.limits.filter((one) => one !== limit); again(); form.querySelector("input").focus(); };
  const chip = (limit) => nw.el("span", { class: "chip" }, nw.limitText(panel, limit),
    nw.el("button", { type: "button", "aria-label": `Remove the limit ${nw.limitText(panel, limit)}`, onclick: () => drop(limit) }, "×"));
  const clear = () => nw.el("button", { type: "button",
    onclick: () => { state.limits = []; state.hidden = new Set(); again(); form.querySelector("input").focus(); } }, "Show all");
  const node = nw.el("div", { class: "axes explorer" },
    Object.keys(panel.figure.layout.meta.axes).length > 2
      ? [nw.axisTools(panel, state, "x", "Across", again), nw.axisTools(panel, state, "y", "Up", again)] : null,
    legend, form, chips);
  const refresh = () => {
    const present = nw.groups(panel);
    let next = null;
    for (const group of [...present].reverse()) {
      if (!boxes.has(group)) boxes.set(group, legend.insertBefore(boxOf(group), next));
      next = boxes.get(group);
    }
    for (const [group, box] of boxes) box.hidden = !present.includes(group);
    legend.hidden = present.length < 2;
    for (const box of node.querySelectorAll("[data-group]")) box.checked = !state.hidden?.has(box.dataset.group);
    const shown = nw.explored(panel, state).length;
    const count = state.limits?.length || state.hidden?.size
      ? nw.el("span", { class: "count" }, `${shown.toLocaleString("en")} of ${panel.rows.length.toLocaleString("en")} trials shown `, clear()) : null;
    chips.replaceChildren(...[...(state.limits || []).map(chip), count].filter(Boolean));
  };
  return { node, refresh };
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

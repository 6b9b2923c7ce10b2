// The side panel of one trial: measurements, curve, decisions, drawing, and the command that exports it.
"use strict";

nw.SVG_TAGS = new Set(["svg", "g", "path", "rect", "line", "circle", "ellipse", "polyline", "polygon", "text", "tspan",
  "title", "desc", "defs", "marker", "style"]);

// A drawing as nodes of this page: only shapes and text are let in, nothing that runs or loads.
nw.svg = (text) => {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
  const root = parsed.documentElement;
  if (root.localName !== "svg" || parsed.querySelector("parsererror")) return null;
  for (const node of [root, ...root.querySelectorAll("*")]) {
    if (!nw.SVG_TAGS.has(node.localName)) { node.remove(); continue; }
    for (const { name } of [...node.attributes]) {
      if (name.startsWith("on") || name === "href" || name === "xlink:href") node.removeAttribute(name);
    }
  }
  const box = nw.el("div", { class: "drawing", tabindex: "0", role: "img", "aria-label": "Drawing of the architecture" });
  box.append(document.importNode(root, true));
  return box;
};

nw.trialNumber = () => {
  const found = /^#trial=(\d+)$/.exec(location.hash);
  return found ? Number(found[1]) : null;
};

nw.details = async (number) => {
  if (nw.live) return nw.ask(`api/trials/${number}`);
  const known = nw.page.details[number];
  if (known) return known;
  const panel = nw.page.panels.find((p) => p.keys.includes("number") && p.keys.includes("state"));
  const row = panel?.rows.find((r) => r[panel.keys.indexOf("number")] === number);
  if (!row) throw new Error(`This report has no trial ${number}.`);
  const measured = panel.columns.filter((c) => nw.NUMERIC.has(c.kind) && c.key !== "number");
  const value = (key) => row[panel.keys.indexOf(key)];
  const { texts, trials } = nw.page.decisions;
  const told = trials[number].map((place) => texts[place]);
  const decisions = told.flatMap((name, place) => (place % 2 ? [] : [[name, told[place + 1]]]));
  return { number, state: value("state"), reason: value("reason"), origin: value("origin"), brief: true, decisions,
    curve: [], command: "", measurements: measured.map((c) => ({ metric: c.label, value: value(c.key), kind: c.kind, unit: c.unit })) };
};

nw.pairs = (rows) => nw.el("dl", {}, rows.flatMap(([name, ...value]) => [nw.el("dt", {}, name), nw.el("dd", {}, ...value)]));

nw.curveBox = (curve, score) => {
  const key = [score?.key, "validation_loss"].find((name) => name in (curve[0] || {}));
  if (!key || curve.length < 2) return null;
  const box = nw.el("div", { class: "plot small" });
  const share = key === score?.key && score.kind === "share";
  requestAnimationFrame(() => {
    if (!box.isConnected) return;
    const rows = curve.filter((row) => row[key] !== null);
    Plotly.react(box, [{ x: rows.map((r, i) => r.epoch ?? i + 1), y: rows.map((r) => r[key]), mode: "lines+markers", line: { color: "#0072B2" },
      hovertemplate: `epoch %{x}: %{y:${share ? ".2%" : ".4~g"}}<extra></extra>` }],
    nw.themed({ height: 200, margin: { l: 56, r: 8, t: 8, b: 40 }, xaxis: { title: { text: "epoch" }, dtick: rows.length < 12 ? 1 : undefined },
      yaxis: { title: { text: key === score?.key ? score.label : key.replace("_", " ") }, tickformat: share ? ".3~%" : "", nticks: 5 } }), { ...nw.CONFIG, displayModeBar: false });
  });
  return box;
};

nw.measured = (entry) => [entry.metric,
  entry.value === null && entry.reason ? `not measured: ${entry.reason}` : nw.text(entry.value, entry.kind, entry.unit),
  entry.spread ? ` ± ${nw.spreadText(entry.spread, entry.kind, entry.unit)}` : null,
  entry.how ? nw.el("small", {}, entry.how) : null];

nw.trialContent = (trial) => [
  nw.pairs([
    ["state", nw.el("span", { class: "state", "data-state": trial.state }, trial.state), trial.winner ? " winner" : null],
    ...(trial.reason ? [["reason", trial.reason]] : []),
    ...(trial.origin ? [["proposed by", trial.origin]] : []),
    ...(trial.seconds ? [["took", nw.text(trial.seconds, "seconds")]] : []),
  ]),
  nw.el("h3", {}, "Measurements"),
  trial.measurements.length ? nw.pairs(trial.measurements.map(nw.measured))
    : nw.el("p", { class: "empty" }, "Nothing has been measured for this trial; its state and reason say why."),
  nw.el("h3", {}, "Export this model"),
  trial.command ? nw.command(trial.command)
    : nw.el("p", { class: "empty" }, trial.brief ? "The full details are in the live dashboard of this run."
      : "Only a trial that trained can be exported; choose one that is done."),
  nw.compareWith(trial.number),
  ...(trial.curve.length > 1 ? [nw.el("h3", {}, "Learning curve"), nw.curveBox(trial.curve, trial.score)] : []),
  ...(trial.drawing ? [nw.el("h3", {}, "Architecture"), nw.svg(trial.drawing)] : []),
  ...(trial.decisions.length ? [nw.el("h3", {}, "Decisions"),
    nw.pairs(trial.decisions.map(([name, value]) => [nw.el("code", {}, name), value]))] : []),
].filter(Boolean);

// Beside the open panel the page is narrower, where it is wide enough; plots follow.
nw.makeRoom = (wanted) => {
  document.body.classList.toggle("with-trial", wanted);
  dispatchEvent(new Event("resize"));
};

nw.closeTrial = () => {
  history.pushState(null, "", location.pathname + location.search);
  nw.showTrial();
};

// The rows of the open trials in the table of all: what changes there has changed for the trial.
nw.openRows = () => {
  const open = nw.comparedNumbers() || [nw.trialNumber()];
  const { keys, rows } = nw.panel("trials");
  return JSON.stringify(rows.filter((row) => open.includes(row[keys.indexOf("number")])));
};

// An open trial that still runs is shown as it is now.
nw.refreshTrial = () => {
  if (!document.getElementById("trial").hidden && nw.openRows() !== nw.told) nw.showTrial({ opened: false });
};

// Show the trial, or the two, that the address names, or close the panel when it names none.
nw.showTrial = async ({ opened = true } = {}) => {
  const box = document.getElementById("trial");
  const pair = nw.comparedNumbers();
  const number = nw.trialNumber();
  if (number === null && !pair) {
    if (!box.hidden) { box.hidden = true; nw.makeRoom(false); nw.before?.focus?.(); nw.before = null; }
    return;
  }
  if (box.hidden) nw.before = document.activeElement;
  const asked = location.hash;
  nw.told = nw.openRows();
  const title = pair ? `Trials ${pair[0]} and ${pair[1]}` : `Trial ${number}`;
  const close = nw.el("button", { type: "button", class: "close", "aria-label": "Close", onclick: nw.closeTrial }, "×");
  const head = nw.el("div", { class: "head" }, nw.el("h2", { id: "trial-title" }, title), close);
  let content;
  try {
    content = pair ? nw.comparison(...await Promise.all(pair.map(nw.details))) : nw.trialContent(await nw.details(number));
  } catch (error) {
    content = [nw.el("p", { class: "empty" }, error.message)];
  }
  if (location.hash !== asked) return;
  const focused = box.contains(document.activeElement);
  box.replaceChildren(head, ...content);
  box.hidden = false;
  box.classList.toggle("pair", Boolean(pair));
  if (opened) nw.makeRoom(!pair);
  if (opened || focused) box.focus({ preventScroll: true });
};

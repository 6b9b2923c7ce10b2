// The page: headline cards, panels, and in the live app the following of a run.
"use strict";

nw.live = document.documentElement.dataset.mode === "live";
nw.states = {};
nw.POLL_MS = 2000;

nw.stateOf = (panel) => {
  nw.states[panel.name] ??= { sort: panel.sort_by.replace(/^-/, ""), down: panel.sort_by.startsWith("-"), page: 0, filter: "" };
  return nw.states[panel.name];
};

nw.card = (card) => {
  const [value, unit] = nw.parts(card.value, card.kind, card.unit);
  const before = "before" in card ? nw.el("span", { class: "before" }, `${nw.text(card.before, card.kind, card.unit)} → `) : null;
  const factor = nw.factorText(card.factor, card.better);
  const range = nw.rangeText(card.low, card.high, card.kind, card.unit);
  const worse = card.factor < 1;
  const ends = worse ? [1 / card.factor_high, 1 / card.factor_low] : [card.factor_low, card.factor_high];
  const paired = card.factor_low === undefined ? "" : nw.rangeText(...ends, "factor");
  return nw.el("div", { class: "card" },
    nw.el("h2", {}, card.label),
    nw.el("p", { class: "value" }, before, nw.el("b", { class: value.length > 6 ? "lengthy" : null }, value), unit ? ` ${unit}` : "", card.of ? ` of ${card.of.toLocaleString("en")}` : ""),
    card.change ? nw.el("p", { class: card.worse ? "factor worse" : "factor" }, nw.changeText(card.change, card.kind, card.unit)) : null,
    factor ? nw.el("p", { class: worse ? "factor worse" : "factor" }, factor) : null,
    paired ? nw.el("p", { class: "note" }, `95 %: ${paired}`) : null,
    range ? nw.el("p", { class: "note" }, `95 %: ${range}`) : null,
    card.note ? nw.el("p", { class: "note" }, card.note) : null,
    "without" in card ? nw.el("p", { class: "note", title: card.instead },
      `without a network ${nw.text(card.without, card.kind, card.unit)}`) : null);
};

nw.showHead = () => {
  const { run } = nw.page;
  document.getElementById("name").textContent = run.title;
  const counts = Object.entries(run.counts).map(([state, count]) => `${count.toLocaleString("en")} ${state}`).join(", ");
  document.getElementById("status").textContent = [run.task, run.state, run.asked ? `${run.tried.toLocaleString("en")} of ${run.asked.toLocaleString("en")} trials` : "", counts].filter(Boolean).join(" · ");
  document.getElementById("headline").replaceChildren(...nw.page.cards.map(nw.card));
  const { text, caution, proof, file, command } = nw.page.answer;
  document.getElementById("answer").replaceChildren(
    nw.el("p", {}, nw.el("b", {}, text), caution ? nw.el("b", { class: "caution" }, ` ${caution}`) : null, proof ? ` ${proof}` : ""),
    ...(file ? [nw.el("p", { class: "where" }, "File ", nw.command(file))] : []),
    ...(command ? [nw.el("p", { class: "where" }, "Next ", nw.command(command))] : []));
};

// What this run has nothing of is named in one place at the end, with what would bring it, not as empty panels.
nw.showAbsent = () => {
  const absent = nw.page.panels.filter((panel) => !panel.rows.length);
  const box = document.getElementById("absent");
  box.hidden = !absent.length;
  box.replaceChildren(nw.el("h2", {}, nw.live ? "Not in this run so far" : "Not in this run"),
    nw.el("dl", {}, absent.flatMap((panel) => [nw.el("dt", {}, panel.title), nw.el("dd", {}, nw.marked(panel.empty))])));
  const shown = nw.page.panels.filter((panel) => panel.rows.length);
  document.getElementById("sections").replaceChildren(...shown.map((p) => nw.el("a", { href: `#${p.name}` }, p.title)));
};

// A plot is drawn when it comes near the screen, the others when the browser is idle: a page of many plots opens
// at once, and is whole when it is printed.
nw.seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    nw.seen.unobserve(target);
    target.drawNow();
  }
}, { rootMargin: "600px" });

nw.waiting = [];
nw.idle = window.requestIdleCallback ? (work) => window.requestIdleCallback(work, { timeout: 2000 }) : (work) => setTimeout(work, 200);

nw.drawWaiting = ({ all = false } = {}) => {
  while (nw.waiting.length) {
    const box = nw.waiting.shift();
    if (box.near || !box.isConnected) continue;
    nw.seen.unobserve(box);
    box.drawNow();
    if (!all) break;
  }
  if (nw.waiting.length) nw.idle(() => nw.drawWaiting());
};

nw.plotBox = (panel, state) => {
  const box = nw.el("div", { class: "plot", style: `min-height:${panel.figure.layout.height}px` });
  box.drawNow = () => { box.near = true; return nw.draw(box, nw.panel(panel.name), state); };
  nw.seen.observe(box);
  nw.waiting.push(box);
  if (nw.waiting.length === 1) nw.idle(() => nw.drawWaiting());
  return box;
};

nw.panel = (name) => nw.page.panels.find((panel) => panel.name === name);

// The lasting parts of a panel's section. They are made anew only when the panel changes its kind, so that news of a
// run never takes away what a person is typing or choosing.
nw.frame = (panel, state, redraw) => {
  const explored = nw.explores(panel);
  const shape = JSON.stringify([Boolean(panel.figure), explored && Object.keys(panel.figure.layout.meta.axes)]);
  const section = document.getElementById(panel.name);
  if (state.parts?.shape === shape && section.firstChild) return state.parts;
  const [lead, drawing, twin] = [nw.el("p", { class: "lead" }), nw.el("div"), nw.el("div")];
  const tools = explored ? nw.explorer(panel, state, redraw) : null;
  section.replaceChildren(...[nw.el("h2", { id: `${panel.name}-title` }, panel.title), lead,
    panel.help ? nw.el("p", { class: "help" }, panel.help) : null, tools?.node, state.box, drawing, twin].filter(Boolean));
  state.parts = { shape, lead, drawing, twin, tools };
  return state.parts;
};

nw.showPanel = (panel) => {
  const section = document.getElementById(panel.name);
  const state = nw.stateOf(panel);
  section.hidden = !panel.rows.length;
  if (!panel.rows.length) {
    state.box = state.parts = null;
    section.replaceChildren();
    return;
  }
  if (!panel.figure) state.box = null;
  else if (!state.box) state.box = nw.plotBox(panel, state);
  const parts = nw.frame(panel, state, () => nw.showPanel(nw.panel(panel.name)));
  parts.lead.textContent = panel.note;
  parts.lead.hidden = !panel.note;
  parts.tools?.refresh();
  if (parts.drawn !== panel.drawing) parts.drawing.replaceChildren(...[panel.drawing && nw.svg(panel.drawing)].filter(Boolean));
  parts.drawn = panel.drawing;
  nw.showTable(panel, state, parts);
  if (state.box?.near) state.box.drawNow();
};

// The table stands alone, or folded away below a plot. It is made anew only when its columns are other ones.
nw.showTable = (panel, state, parts) => {
  const plain = !panel.figure && (!panel.drawing || panel.table_open);
  const columns = JSON.stringify([plain, panel.columns]);
  if (parts.columns !== columns) {
    const typing = document.activeElement.type === "search" && parts.twin.contains(document.activeElement);
    const open = parts.twin.querySelector("details")?.open ?? panel.table_open;
    Object.assign(parts, { columns, table: nw.table(panel, state), summary: nw.el("summary") });
    parts.twin.replaceChildren(plain ? parts.table.node : nw.el("details", { open }, parts.summary, parts.table.node));
    if (typing) parts.twin.querySelector("input[type=search]").focus();
  }
  parts.summary.textContent = `Table: ${nw.count(nw.explored(panel, state).length, "row")}`;
  parts.table.fill();
};

nw.showAll = () => {
  nw.showHead();
  document.getElementById("panels").replaceChildren(...nw.page.panels.map((panel) =>
    nw.el("section", { id: panel.name, "aria-labelledby": `${panel.name}-title` })));
  for (const panel of nw.page.panels) nw.showPanel(panel);
  nw.showAbsent();
};

// Take over what the server says is new; the rest of the page is left as it is.
nw.apply = (news) => {
  if (!nw.page) {
    nw.page = news;
    nw.showAll();
    return;
  }
  // What a page that was left alone for long is sent is everything; the panels, and what was chosen in them, stay.
  if (news.full) news.panels = Object.fromEntries(news.panels.map((panel) =>
    [panel.name, { ...panel, set: [...panel.rows.entries()], length: panel.rows.length, rows: nw.panel(panel.name).rows }]));
  const changed = Object.entries(news.panels);
  const before = JSON.stringify([nw.page.run, nw.page.answer, nw.page.cards]);
  for (const key of ["sequence", "run", "answer", "cards"]) if (key in news) nw.page[key] = news[key];
  if (JSON.stringify([nw.page.run, nw.page.answer, nw.page.cards]) !== before) nw.showHead();
  if (!changed.length) return;
  for (const [name, { set, length, ...fields }] of changed) {
    const panel = nw.panel(name);
    Object.assign(panel, fields);
    if (set) {
      panel.rows.length = Math.min(panel.rows.length, length);
      for (const [place, row] of set) panel.rows[place] = row;
    }
    nw.showPanel(panel);
  }
  nw.showAbsent();
  nw.refreshTrial();
};

nw.problem = (text) => {
  const box = document.getElementById("problem");
  if (box.dataset.text === text) return;
  box.dataset.text = text;
  box.hidden = !text;
  box.replaceChildren(...nw.marked(text));
};

// What the server answers; an error says whether there was an answer at all.
nw.ask = async (path) => {
  let answer;
  try {
    answer = await fetch(path);
  } catch {
    throw new Error("the dashboard does not answer; see whether `netwright dashboard` still runs");
  }
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
};

nw.follow = async () => {
  if (!document.hidden) {
    try {
      const news = await nw.ask(`api/run${nw.page ? `?since=${nw.page.sequence}` : ""}`);
      const first = !nw.page;
      nw.apply(news);
      nw.problem("");
      if (first) nw.showTrial();
    } catch (error) {
      nw.problem(`What you see is not up to date: ${error.message}. This page tries again every few seconds.`);
    }
  }
  setTimeout(nw.follow, nw.POLL_MS);
};

addEventListener("hashchange", () => nw.showTrial());
addEventListener("popstate", () => nw.showTrial());
addEventListener("keydown", (event) => { if (event.key === "Escape" && !document.getElementById("trial").hidden) nw.closeTrial(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => nw.redrawAll());
// Paper is white: every plot is drawn for it, and for the screen again afterwards.
nw.redrawAll = () => { for (const state of Object.values(nw.states)) if (state.box?.near) state.box.drawNow(); };
addEventListener("beforeprint", () => {
  document.documentElement.classList.add("printing");
  nw.drawWaiting({ all: true });
  nw.redrawAll();
});
addEventListener("afterprint", () => { document.documentElement.classList.remove("printing"); nw.redrawAll(); });

if (nw.live) {
  nw.follow();
} else {
  nw.page = JSON.parse(document.getElementById("data").textContent);
  nw.showAll();
  nw.showTrial();
}

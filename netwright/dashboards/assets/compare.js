// Two trials side by side: what they measure, which decisions differ, how they look.
"use strict";

nw.comparedNumbers = () => {
  const found = /^#compare=(\d+),(\d+)$/.exec(location.hash);
  return found ? [Number(found[1]), Number(found[2])] : null;
};

// The form that leads from one trial to the comparison with another.
nw.compareWith = (number) => {
  const rows = nw.panel("front")?.rows || [];
  const place = (key) => nw.panel("front").keys.indexOf(key);
  const other = rows.find((row) => row[place("mark")] === "winner" && row[place("number")] !== number)
    || rows.find((row) => row[place("rank")] !== null && row[place("number")] !== number)
    || rows.find((row) => row[place("number")] !== number);
  if (!other) return null;
  const input = nw.el("input", { type: "number", min: 0, required: true, "aria-label": "Number of the other trial", value: other[place("number")] });
  return nw.el("form", { class: "compare", onsubmit: (event) => {
    event.preventDefault();
    location.hash = `#compare=${number},${input.value}`;
  } }, nw.el("span", {}, "Compare with trial "), input, nw.el("button", { type: "submit" }, "Compare"));
};

// The second value seen from the first: points for shares, times for the rest.
nw.against = (a, b, kind) => {
  if (typeof a !== "number" || typeof b !== "number") return "";
  if (a === b) return "same";
  if (kind === "share") return nw.changeText(b - a, kind);
  if (a > 0 && b > 0) return `${(b > a ? b / a : a / b).toPrecision(3)}× ${b > a ? "more" : "less"}`;
  return nw.changeText(b - a, kind);
};

nw.compareTable = (heads, rows) => nw.el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": heads[0] },
  nw.el("table", {}, nw.el("thead", {}, nw.el("tr", {}, heads.map((text) => nw.el("th", { scope: "col" }, text)))),
    nw.el("tbody", {}, rows.map((row) => nw.el("tr", {}, row.map((cell) => nw.el("td", {}, cell)))))));

nw.comparison = (one, other) => {
  const names = [`trial ${one.number}`, `trial ${other.number}`];
  const metrics = [...new Set([...one.measurements, ...other.measurements].map((m) => m.metric))];
  const of = (trial, metric) => trial.measurements.find((m) => m.metric === metric) || { value: null };
  const measured = metrics.map((metric) => {
    const [a, b] = [of(one, metric), of(other, metric)];
    const kind = a.kind || b.kind;
    return [metric, nw.text(a.value, kind, a.unit), nw.text(b.value, kind, b.unit), nw.against(a.value, b.value, kind)];
  });
  const left = new Map(one.decisions), right = new Map(other.decisions);
  const all = [...new Set([...left.keys(), ...right.keys()])];
  const differ = all.filter((name) => left.get(name) !== right.get(name));
  const told = differ.length ? `${nw.count(differ.length, "decision")} of ${all.length} ${differ.length === 1 ? "differs" : "differ"}.`
    : "All decisions are the same.";
  return [
    nw.el("h3", {}, "Measurements"),
    nw.compareTable(["measured", ...names, "second against first"], [["state", one.state, other.state, ""], ...measured]),
    nw.el("h3", {}, "Decisions that differ"), nw.el("p", {}, told),
    differ.length ? nw.compareTable(["decision", ...names],
      differ.map((name) => [nw.el("code", {}, name), left.get(name) ?? nw.ABSENT, right.get(name) ?? nw.ABSENT])) : null,
    one.drawing || other.drawing ? nw.el("h3", {}, "Architectures") : null,
    one.drawing || other.drawing ? nw.el("div", { class: "sides" }, [one, other].map((trial) => nw.el("div", {},
      nw.el("a", { href: `#trial=${trial.number}` }, `trial ${trial.number}`), trial.drawing ? nw.svg(trial.drawing) : null))) : null,
  ].filter(Boolean);
};

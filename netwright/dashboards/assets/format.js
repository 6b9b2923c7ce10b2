// Elements made from text only, and the one place where a number becomes text.
"use strict";
const nw = {};

// An element with attributes and children; strings become text nodes, so nothing in them is markup.
nw.el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
};

// A text in which what stands between backquotes is code.
nw.marked = (text) => text.split("`").map((part, index) => (index % 2 ? nw.el("code", {}, part) : part));

nw.ABSENT = "–";

nw.significant = (value, digits) => {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e12) return value.toExponential(digits - 1).replace(/\.?0*e\+?/, "e");
  return value.toLocaleString("en", { maximumSignificantDigits: digits });
};

// A spread needs no more than two digits.
nw.spreadText = (value, kind, unit) => (kind === "ms" || kind === "number" ? nw.significant(value, 2) : nw.parts(value, kind, unit)[0]);

nw.scaled = (value, steps, base) => {
  const size = Math.abs(value);
  for (const [limit, unit] of steps) {
    if (size >= limit) return [(value / limit).toLocaleString("en", { maximumSignificantDigits: 3 }), unit];
  }
  return [value.toLocaleString("en", { maximumFractionDigits: 0 }), base];
};

// A value as [text, unit].
nw.parts = (value, kind, unit = "") => {
  if (value === null || value === undefined) return [nw.ABSENT, ""];
  if (typeof value !== "number") return [String(value), ""];
  switch (kind) {
    case "share": return [(100 * value).toLocaleString("en", { maximumFractionDigits: 2, minimumFractionDigits: 2 }), "%"];
    case "bytes": return nw.scaled(value, [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]], "B");
    case "integer": return value >= 1e5 ? nw.scaled(value, [[1e9, "G"], [1e6, "M"], [1e3, "k"]], "")
      : [value.toLocaleString("en", { maximumFractionDigits: 0 }), ""];
    case "ms": return [value >= 0.001 && value < 1000 ? value.toPrecision(3) : nw.significant(value, 3), "ms"];
    case "seconds": return value >= 5400 ? [(value / 3600).toFixed(1), "h"]
      : value >= 100 ? [(value / 60).toFixed(1), "min"] : [nw.significant(value, 3), "s"];
    case "factor": return [`${value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3)}×`, ""];
    case "trial": return [String(value), ""];
    default: return [nw.significant(value, 4), unit];
  }
};

nw.count = (value, word) => `${value.toLocaleString("en")} ${word}${value === 1 ? "" : "s"}`;

nw.text = (value, kind, unit) => nw.parts(value, kind, unit).filter(Boolean).join("\u00a0");

// "3.4× smaller", or "1.2× larger" when the factor is below one; nothing when there is no change.
nw.WORSE = { smaller: "larger", faster: "slower" };
nw.factorText = (factor, better) => {
  if (factor === null || factor === undefined) return "";
  const up = factor >= 1 ? factor : 1 / factor;
  if (up < 1.005) return "";
  const shown = up >= 100 ? Math.round(up).toLocaleString("en") : up.toPrecision(3);
  return `${shown}× ${factor >= 1 ? better : nw.WORSE[better] || "worse"}`;
};

nw.rangeText = (low, high, kind, unit) => {
  if (low === null || low === undefined || high === null || high === undefined) return "";
  return `${nw.parts(low, kind)[0]} to ${nw.text(high, kind, unit)}`;
};

nw.changeText = (change, kind, unit) => {
  if (!change) return "";
  const sign = change > 0 ? "+" : "−";
  if (kind === "share") return `${sign}${(100 * Math.abs(change)).toFixed(2)} points`;
  return sign + nw.text(Math.abs(change), kind, unit);
};

// The text of a button is copied; where the clipboard is closed the text is selected instead.
nw.copy = async (code, button) => {
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch (error) {
    const range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2500);
};

nw.command = (text) => {
  const code = nw.el("code", {}, text);
  const button = nw.el("button", { type: "button", class: "copy", onclick: () => nw.copy(code, button) }, "Copy");
  return nw.el("div", { class: "command" }, code, button);
};

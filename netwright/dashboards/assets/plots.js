// Plots: points are taken from the rows of their panel, colours from the theme, the user's zoom is kept.
"use strict";

nw.CONFIG = { showSendToCloud: false, displaylogo: false, responsive: true,
  modeBarButtonsToRemove: ["select2d", "lasso2d"], toImageButtonOptions: { format: "svg" } };

// Plotly's WebGL traces compile their drawing at run time, which the page's policy allows only for large runs.
nw.hasWebGL = (() => {
  let known;
  return () => {
    if (document.documentElement.dataset.gl !== "yes") return false;
    if (known === undefined) {
      const context = document.createElement("canvas").getContext("webgl");
      known = Boolean(context);
      context?.getExtension("WEBGL_lose_context")?.loseContext();
    }
    return known;
  };
})();

// The points of a trace, from the rows its meta names.
nw.points = (trace, panel, axes, rows, state) => {
  const meta = trace.meta;
  if (!meta) return trace;
  const swap = (key) => (axes && key === axes.fromX ? axes.x : axes && key === axes.fromY ? axes.y : key);
  const [x, y] = [swap(meta.x), swap(meta.y)];
  let values;
  if (meta.edge) {
    values = nw.edge(panel, rows, x, y).map((point) => [...point, true]);
    trace = { ...trace, line: { ...trace.line, shape: panel.figure.layout.meta.directions[x] === "maximize" ? "vh" : "hv" } };
  } else if (meta.rows) {
    const within = nw.within(state);
    values = meta.rows.filter(within).map((row) => [row[x], row[y], row[meta.custom], true]);
  } else {
    const place = Object.fromEntries(panel.keys.map((key, index) => [key, index]));
    const [group, wanted] = meta.where || [null, null];
    values = rows.map((row) => [row[place[x]], row[place[y]], row[place[meta.custom]], !group || row[place[group]] === wanted]);
  }
  values = values.filter(([a, b, , kept]) => kept && a !== null && b !== null && a !== undefined && b !== undefined);
  // Two points in one place have no direction between them, and arrows need one.
  if (meta.rows) values = values.filter((v, i) => i === 0 || v[0] !== values[i - 1][0] || v[1] !== values[i - 1][1]);
  if (meta.sort) values.sort((a, b) => a[0] - b[0]);
  const filled = { ...trace, x: values.map((v) => v[0]), y: values.map((v) => v[1]) };
  if (meta.custom) filled.customdata = values.map((v) => v[2]);
  if (filled.type === "scattergl" && !nw.hasWebGL()) filled.type = "scatter";
  return filled;
};

nw.css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

nw.themed = (layout) => {
  const [ink, soft, grid, ground] = ["--ink", "--soft", "--grid", "--card"].map(nw.css);
  const axis = (own) => ({ gridcolor: grid, linecolor: soft, zeroline: false, ticks: "outside", tickcolor: grid,
    exponentformat: "power", automargin: true, ...own, title: { standoff: 8, ...own.title, font: { size: 13 } } });
  const themed = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: ink },
    hoverlabel: { bgcolor: ground, bordercolor: soft, font: { color: ink, family: "system-ui, sans-serif" } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink } };
  for (const key of Object.keys(layout)) if (/^[xy]axis\d*$/.test(key)) themed[key] = axis(layout[key]);
  return themed;
};

// An axis of a wide positive range is logarithmic; the minor digits of its ticks are kept few.
nw.scale = (axis, key, data, letter, wanted) => {
  const seen = data.flatMap((trace) => trace[letter] || []).filter((value) => typeof value === "number");
  const low = seen.reduce((a, b) => Math.min(a, b), Infinity);
  const high = seen.reduce((a, b) => Math.max(a, b), -Infinity);
  // Around a value that stands alone, plotly would take a range far too wide.
  if (low === high && !wanted) return { ...axis, type: "linear", range: [low - (Math.abs(low) / 10 || 1), low + (Math.abs(low) / 10 || 1)] };
  const wide = key !== "number" && low > 0 && high / low >= 30;
  if (!(wanted ?? wide) || !(low > 0)) return { ...axis, type: "linear" };
  if (high / low < 10) return { ...axis, type: "log", nticks: 6 };
  return { ...axis, type: "log", dtick: high / low > 1e3 ? 1 : "D2" };
};

// A bound is drawn unless it lies so far off that the points would be squeezed; the text above names it anyway.
nw.near = (bound, data, letter) => {
  const seen = data.flatMap((trace) => trace[letter] || []);
  const low = seen.reduce((a, b) => Math.min(a, b), Infinity);
  const high = seen.reduce((a, b) => Math.max(a, b), -Infinity);
  return low - (high - low) <= bound && bound <= high + (high - low);
};

nw.withAxes = (layout, data, axes, log = {}) => {
  const { meta } = layout;
  const shapes = [];
  const line = { type: "line", layer: "below", line: { color: "#E69F00", width: 1.5, dash: "dash" } };
  if (axes.x in meta.bounds && nw.near(meta.bounds[axes.x], data, "x")) shapes.push({ ...line, x0: meta.bounds[axes.x], x1: meta.bounds[axes.x], y0: 0, y1: 1, yref: "paper" });
  if (axes.y in meta.bounds && nw.near(meta.bounds[axes.y], data, "y")) shapes.push({ ...line, y0: meta.bounds[axes.y], y1: meta.bounds[axes.y], x0: 0, x1: 1, xref: "paper" });
  return { ...layout, shapes, uirevision: `${axes.x} ${axes.y} ${log.x} ${log.y}`,
    xaxis: nw.scale(meta.axes[axes.x], axes.x, data, "x", log.x), yaxis: nw.scale(meta.axes[axes.y], axes.y, data, "y", log.y) };
};

nw.hoverFor = (template, layout, axes) => {
  if (!axes || !template) return template;
  const part = (key, letter) => {
    const axis = layout.meta.axes[key];
    const share = (axis.tickformat || "").includes("%");
    return `${axis.title.text} %{${letter}:${share ? ".2%" : ".5~g"}}`;
  };
  const [first, ...rest] = template.split("<br>");
  const extra = rest.join("<br>").match(/<extra>.*$/)?.[0] || "<extra></extra>";
  return `${first}<br>${part(axes.x, "x")}<br>${part(axes.y, "y")}${extra}`;
};

// Draw the figure of a panel into a box; `state.axes` is the pair of metrics the user chose.
nw.draw = (box, panel, state) => {
  const { layout } = panel.figure;
  const choices = layout.meta?.axes;
  const axes = choices ? { x: layout.meta.x, y: layout.meta.y, ...state.axes, fromX: layout.meta.x, fromY: layout.meta.y } : null;
  const narrow = box.clientWidth < 560;
  const rows = nw.explored(panel, state);
  const data = panel.figure.data.map((trace) => nw.points(trace, panel, axes, rows, state)).map((trace) => ({
    ...trace,
    hovertemplate: state.axes ? nw.hoverFor(trace.hovertemplate, layout, axes) : trace.hovertemplate,
  }));
  for (const trace of data) if (trace.meta && !trace.x.length) trace.showlegend = false;
  for (const trace of data) if (trace.marker?.color === "#444444") trace.marker = { ...trace.marker, color: nw.css("--ink") };
  for (const trace of data) if (trace.error_y) trace.error_y = { ...trace.error_y, color: nw.css("--soft") };
  let shown = axes ? nw.withAxes(layout, data, axes, state.log) : layout;
  if (narrow) shown = { ...shown, margin: { ...shown.margin, l: 48, r: 8 }, legend: { ...shown.legend, font: { size: 11 } } };
  if (axes && !data.some((trace) => trace.x.length)) {
    shown = { ...shown, annotations: [{ text: "No trial has both figures within these limits.", showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 }] };
  }
  const { meta, ...plain } = nw.themed(shown);
  for (const letter of axes ? ["x", "y"] : []) {
    const log = box.parentElement?.querySelector(`[data-log=${letter}]`);
    if (log) log.checked = shown[`${letter}axis`].type === "log";
  }
  const brush = choices ? { modeBarButtonsToRemove: ["lasso2d"] } : {};
  const config = { ...nw.CONFIG, ...brush, ...(narrow ? { displayModeBar: false } : {}) };
  return Plotly.react(box, data, plain, config).then(() => {
    box.dataset.drawn = "yes";
    if (box.dataset.clicks) return;
    box.dataset.clicks = "yes";
    box.on("plotly_click", (event) => {
      const number = event.points[0].customdata;
      // A point of another kind, such as a try of a recipe, has a number too, but is no trial.
      const trials = nw.panel(panel.name).columns.some((column) => column.kind === "trial");
      if (trials && Number.isInteger(number)) location.hash = `#trial=${number}`;
    });
    if (choices) {
      box.on("plotly_selected", (event) => {
        if (!event?.range) return;
        nw.brushed(nw.panel(panel.name), state, event.range);
        Plotly.relayout(box, { selections: [] });
        nw.showPanel(nw.panel(panel.name));
      });
    }
  });
};

// The reverse of the escaping that plotly texts need.
nw.plain = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

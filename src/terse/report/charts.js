"use strict";
// Charts: plotly is unpacked from this file when the first one comes into view, and takes its colours from the style sheet.
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const PALETTE = ["learned", "mined", "cut_paste_learn", "context", "random", "none"];
const FURTHER = ["further-1", "further-2", "further-3", "further-4"];
const lent = new Map();
const CONFIG = { displayModeBar: false, responsive: true, doubleClick: false, showTips: false };
let plotlyReady = null;

function loadPlotly() {
  if (plotlyReady === null) {
    plotlyReady = (async () => {
      const packed = Uint8Array.from(atob(byId("plotly-data").textContent), (c) => c.charCodeAt(0));
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      const script = document.createElement("script");
      script.textContent = await new Response(stream).text();
      document.head.append(script);
    })();
  }
  return plotlyReady;
}

function themedLayout(layout, narrow) {
  const ink = colour("ink"), muted = colour("muted"), line = colour("line"), family = getComputedStyle(document.body).fontFamily;
  const axis = (own = {}) => ({
    ...own, gridcolor: line, linecolor: line, zerolinecolor: line, tickfont: { color: muted, size: 12 },
    title: { ...own.title, font: { color: muted, size: 12.5 }, standoff: 10 },
  });
  return {
    ...layout, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family, color: ink, size: 13 }, colorway: PALETTE.map((name) => colour(`tone-${name}`)),
    xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis),
    legend: { ...layout.legend, font: { color: ink, size: narrow ? 11.5 : 12.5 }, ...(narrow ? { entrywidth: 0.5, entrywidthmode: "fraction" } : {}) },
    hoverlabel: { bgcolor: colour("panel"), bordercolor: line, font: { color: ink, family } },
    shapes: (layout.shapes || []).map((s) => ({ ...s, line: { ...s.line, color: muted } })),
  };
}

// One colour for all that is of one name; names without a colour of their own take those that the chart leaves free, and
// keep them in all charts of the page.
function tonesOf(traces) {
  const names = traces.map((trace, index) => (trace.meta && trace.meta.tone) || `trace ${index}`);
  const taken = new Set(names), others = [...new Set(names.filter((name) => !colour(`tone-${name}`)))];
  for (const name of others) if (lent.has(name) && !taken.has(lent.get(name))) taken.add(lent.get(name)); else lent.delete(name);
  const spare = [...PALETTE, ...FURTHER].filter((name) => !taken.has(name));
  others.filter((name) => !lent.has(name)).forEach((name, index) => lent.set(name, (spare.length ? spare : PALETTE)[index % (spare.length || PALETTE.length)]));
  return names.map((name) => colour(`tone-${name}`) || colour(`tone-${lent.get(name)}`));
}

function themedTraces(traces) {
  const tones = tonesOf(traces);
  return traces.map((trace, index) => {
    const tone = tones[index];
    if (trace.meta && trace.meta.map) return { ...trace, colorscale: [[0, colour("panel")], [1, tone]] };
    if (trace.meta && trace.meta.band) return { ...trace, fillcolor: `${tone}2b` };
    const dash = trace.meta && (trace.meta.tone === "none" || trace.meta.tone === "start") ? "dash" : undefined;
    const themed = { ...trace, marker: { size: 7, ...trace.marker, color: tone } };
    if (trace.type !== "bar") themed.line = { width: 2.2, dash, ...trace.line, color: tone };
    if (trace.error_x) themed.error_x = { ...trace.error_x, color: tone };
    return themed;
  });
}

async function drawChart(node, figures) {
  await loadPlotly();
  const figure = figures[node.id];
  node.classList.toggle("keyed", figure.data.filter((trace) => trace.showlegend !== false && trace.name).length > 3);
  await window.Plotly.react(node, themedTraces(figure.data), themedLayout(figure.layout, node.clientWidth < 480), CONFIG);
  node.dataset.drawn = "yes";
}

function startCharts() {
  const figures = readJson("charts-data");
  const nodes = [...document.querySelectorAll(".plot")];
  const fail = (node) => (error) => { node.textContent = `This browser cannot draw the chart (${error.message}); the numbers are below it.`; };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((e) => e.isIntersecting)) {
      seen.unobserve(entry.target);
      drawChart(entry.target, figures).catch(fail(entry.target));
    }
  }, { rootMargin: "400px" });
  nodes.forEach((node) => seen.observe(node));
  dark.addEventListener("change", () => nodes.filter((n) => n.dataset.drawn).forEach((n) => drawChart(n, figures).catch(fail(n))));
}

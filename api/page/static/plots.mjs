// What a VM uses, measured every ten seconds while it is looked at.

import { html, useEffect, useRef, useState } from "./vendor/preact-htm.mjs";
import uPlot from "./vendor/uplot.mjs";
import { send } from "./api.mjs";
import { bytes, gigabytes, Problem } from "./parts.mjs";

const PAUSE = 10000; // milliseconds: callers have only so many requests a minute
const KEPT = 90;
const FIRST = 2000;
const rate = (value) => `${bytes(value)}/s`;
// Title, how a value is shown, and its lines: what of a measurement, or what grew since the one before.
const CHARTS = [
  ["Processor", (value) => `${Math.round(value)} %`, [["", ({ cpu }) => cpu.usage_percent]]],
  ["Memory", (value) => gigabytes(Math.round(value)), [["", ({ memory }) => memory.used_mb]]],
  ["Disk", rate, [["read", growth(({ disk }) => disk.io?.read_bytes)], ["written", growth(({ disk }) => disk.io?.written_bytes)]]],
  ["Network", rate, [["in", growth(({ network }) => network.bytes_in)], ["out", growth(({ network }) => network.bytes_out)]]],
];

function growth(of) {
  return (now, before) => {
    const [here, there] = [of(now), before && of(before.measured)];
    return here == null || there == null || here < there ? null : (here - there) / (now.at - before.measured.at);
  };
}

export function Plots({ path }) {
  const [points, setPoints] = useState([]);
  const [error, setError] = useState(null);
  useEffect(() => {
    let timer = null;
    let ended = false;
    const look = async (pause = PAUSE) => {
      if (!document.hidden) {
        try {
          const measured = { ...(await send("GET", `${path}/metrics`)), at: Date.now() / 1000 };
          if (ended) return;
          setPoints((before) => [...before, { measured, values: CHARTS.map(([, , lines]) => lines.map(([, of]) => of(measured, before.at(-1)) ?? null)) }].slice(-KEPT));
          setError(null);
        } catch (problem) {
          setError(problem);
        }
      }
      if (!ended) timer = setTimeout(look, pause);
    };
    look(FIRST);
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, [path]);
  const unknown = Object.entries(points.at(-1)?.measured.unknown ?? {});
  return html`<h2>Usage <small>measured every ten seconds while you look</small></h2><${Problem} error=${error} />
    <div class="plots">${CHARTS.map(([title, show, lines], at) => html`<${Chart} key=${title} title=${title} show=${show} lines=${lines} points=${points} at=${at} />`)}</div>
    ${unknown.length > 0 && html`<p class="small">Not known: ${unknown.map(([what, why]) => `${what} (${why})`).join("; ")}</p>`}`;
}

function Chart({ title, show, lines, points, at }) {
  const place = useRef(null);
  const plot = useRef(null);
  const data = [points.map((each) => each.measured.at), ...lines.map((_, line) => points.map((each) => each.values[at][line]))];
  useEffect(() => {
    const colours = matchMedia("(prefers-color-scheme: dark)");
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(place.current, show, lines), data, place.current);
    };
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: place.current.clientWidth, height: 130 }));
    draw();
    resized.observe(place.current);
    colours.addEventListener("change", draw);
    return () => {
      colours.removeEventListener("change", draw);
      resized.disconnect();
      plot.current.destroy();
    };
  }, []);
  useEffect(() => plot.current.setData(data), [points]);
  const now = points.at(-1)?.values[at] ?? [];
  const told = lines.map(([name], line) => `${now[line] == null ? "–" : show(now[line])} ${name}`.trim());
  return html`<figure class="card"><figcaption><strong>${title}</strong> <span>${told.map((each, line) => html`<span class="key k${line}">${each}</span> `)}</span></figcaption>
    <div ref=${place} class="chart" role="img" aria-label=${`${title}: ${told.join(", ")}`}></div></figure>`;
}

function options(place, show, lines) {
  const colour = (name) => getComputedStyle(place).getPropertyValue(name);
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  return {
    width: place.clientWidth, height: 130, legend: { show: false }, cursor: { show: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(1, (high ?? 1) * 1.1)] } },
    axes: [{ ...axis, space: 80 }, { ...axis, size: 70, space: 34, values: (_, ticks) => ticks.map(show) }],
    series: [{}, ...lines.map((_, line) => ({ stroke: colour(line ? "--second" : "--accent"), width: 2, points: { size: 4 } }))],
  };
}

// Small pieces that all views use.

import { html, useEffect, useState } from "./vendor/preact-htm.mjs";

const GOOD = new Set(["running", "succeeded", "online", "healthy"]);
const BAD = new Set(["failed", "crashed", "offline", "lost", "unhealthy"]);
const MOVING = new Set(["queued", "creating", "starting", "stopping", "restarting", "restoring", "deleting", "unknown"]);

export function Status({ of }) {
  const kind = GOOD.has(of) ? "good" : BAD.has(of) ? "bad" : MOVING.has(of) ? "moving" : "quiet";
  return html`<span class="status ${kind}">${of}</span>`;
}

export function Age({ at }) {
  if (!at) return "–";
  const seconds = Math.max(0, (Date.now() - Date.parse(at)) / 1000);
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([length]) => seconds >= 2 * length) ?? [1, "s"];
  return html`<time datetime=${at} title=${at}>${Math.floor(seconds / size)} ${unit} ago</time>`;
}

export function Bar({ used, total, label }) {
  const share = total ? Math.min(100, (100 * used) / total) : 0;
  return html`<div class="bar" role="meter" aria-label=${label} aria-valuenow=${Math.round(share)} aria-valuemin="0" aria-valuemax="100">
    <div style=${{ width: `${share}%` }}></div><span>${used} of ${total} ${label}</span></div>`;
}

// A table that scrolls by itself where it is too wide, by keyboard too: `label` names it. A column without a heading has buttons.
export function Table({ label, columns, rows, empty }) {
  if (!rows.length) return html`<p class="empty">${empty}</p>`;
  return html`<div class="wide" role="region" aria-label=${label} tabindex="0"><table>
    <thead><tr>${columns.map(([heading]) => html`<th scope="col">${heading || html`<span class="unseen">Actions</span>`}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.id ?? row.name}>${columns.map(([, cell]) => html`<td>${cell(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

export function Field({ label, help, ...input }) {
  return html`<label class="field"><span>${label}</span><input ...${input} />${help && html`<small>${help}</small>`}</label>`;
}

// What `load` resolves with, asked for anew whenever one of `when` changes; and the error that came instead.
export function useLoaded(load, when) {
  const [state, set] = useState({ value: null, error: null });
  useEffect(() => {
    let current = true;
    load().then(
      (value) => current && set({ value, error: null }),
      (error) => current && set((before) => ({ ...before, error })),
    );
    return () => {
      current = false;
    };
  }, when);
  return state;
}

export function Problem({ error }) {
  return error ? html`<p class="problem" role="alert">${error.message}</p>` : null;
}

export function gigabytes(mb) {
  return mb >= 1024 ? `${(mb / 1024).toFixed(mb % 1024 ? 1 : 0)} GB` : `${mb} MB`;
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = count > 0 ? Math.min(4, Math.floor(Math.log10(count) / 3)) : 0;
  return `${(count / 1000 ** step).toFixed(step ? 1 : 0)} ${units[step]}`;
}

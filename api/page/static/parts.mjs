// Small pieces that all views use.

import { html, useEffect, useRef, useState } from "./vendor/preact-htm.mjs";

const GOOD = new Set(["running", "succeeded", "online", "healthy", "delivered", "enabled", "success", "fits"]);
const BAD = new Set(["failed", "crashed", "offline", "lost", "unhealthy", "fenced", "failure", "denied"]);
const MOVING = new Set(["queued", "creating", "starting", "stopping", "restarting", "restoring", "deleting", "unknown", "degraded", "cordoned", "draining", "drained", "paused", "waiting"]);

export function Status({ of }) {
  const kind = GOOD.has(of) ? "good" : BAD.has(of) ? "bad" : MOVING.has(of) ? "moving" : "quiet";
  return html`<span class="status ${kind}">${of}</span>`;
}

export function ago(at, since = Date.now()) {
  const seconds = Math.max(0, (since - Date.parse(at)) / 1000);
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([length]) => seconds >= 2 * length) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

export function Age({ at }) {
  return at ? html`<time datetime=${at} title=${at}>${ago(at)}</time>` : "–";
}

export function Moment({ at }) {
  return at ? html`<time datetime=${at} title=${at}>${new Date(at).toLocaleString()}</time>` : "–";
}

export function Bar({ used, total, label, show = (value) => value }) {
  const share = total ? Math.min(100, (100 * used) / total) : 0;
  return html`<div class="bar"><span>${label}</span><span class="figure">${show(used)} of ${show(total)}</span>
    <div class="track ${share >= 90 ? "full" : ""}" role="meter" aria-label=${label} aria-valuenow=${Math.round(share)} aria-valuemin="0" aria-valuemax="100">
      <div style=${{ width: `${share}%` }}></div></div></div>`;
}

export function Progress({ share, label }) {
  return html`<progress max="1" value=${share ?? undefined} aria-label=${label}></progress>`;
}

// A table that scrolls by itself where it is too wide, by keyboard too: `label` names it. A column without a heading has buttons.
export function Table({ label, columns, rows, empty }) {
  if (!rows) return html`<${Loading} />`;
  if (!rows.length) return html`<p class="empty">${empty}</p>`;
  return html`<div class="wide" role="region" aria-label=${label} tabindex="0"><table>
    <thead><tr>${columns.map(([heading]) => html`<th scope="col">${heading || html`<span class="unseen">Actions</span>`}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.id ?? row.name}>${columns.map(([heading, cell]) => html`<td class=${heading ? null : "actions"}>${cell(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

export function Loading() {
  return html`<p class="empty" role="status" data-loading>Loading …</p>`;
}

export function Field({ label, help, children, ...input }) {
  return html`<label class="field"><span>${label}</span>${children ?? html`<input ...${input} />`}${help && html`<small>${help}</small>`}</label>`;
}

export function Choice({ label, help, name, value, options, change }) {
  return html`<${Field} label=${label} help=${help}><select name=${name} value=${value} onChange=${change}>
    ${options.map(([each, shown = each]) => html`<option value=${each}>${shown}</option>`)}</select><//>`;
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

// Something that a person does: `act(work)` runs it; `busy` meanwhile, `problem` if it was refused.
export function useAction() {
  const [busy, setBusy] = useState(null);
  const [problem, setProblem] = useState(null);
  const act = async (work, saying = "working …") => {
    setBusy(saying);
    setProblem(null);
    try {
      await work(setBusy);
    } catch (refused) {
      setProblem(refused);
    }
    setBusy(null);
  };
  return { act, busy, problem };
}

export function Problem({ error }) {
  return error ? html`<p class="problem" role="alert">${error.message}</p>` : null;
}

// A secret that is shown this once.
export function Secret({ what, of }) {
  const [copied, setCopied] = useState(false);
  if (!of) return null;
  const copy = () => navigator.clipboard?.writeText(of).then(() => setCopied(true));
  return html`<div class="note"><p>${what}, shown this once:</p><p class="line"><code>${of}</code><button onClick=${copy}>${copied ? "Copied" : "Copy"}</button></p></div>`;
}

let question = null;

// Whether the person agrees to what can't be undone.
export function agreed(text, verb) {
  return new Promise((resolve) => question({ text, verb, resolve }));
}

export function Questions() {
  const [asked, set] = useState(null);
  const dialog = useRef(null);
  question = set;
  useEffect(() => {
    if (asked) dialog.current.showModal();
  }, [asked]);
  if (!asked) return null;
  const answer = (agrees) => {
    dialog.current.close();
    set(null);
    asked.resolve(agrees);
  };
  return html`<dialog ref=${dialog} aria-labelledby="question" onCancel=${() => answer(false)}>
    <p id="question">${asked.text}</p>
    <p class="line end"><button onClick=${() => answer(false)}>Cancel</button><button class="danger solid" autofocus onClick=${() => answer(true)}>${asked.verb}</button></p></dialog>`;
}

export function gigabytes(mb) {
  return mb >= 1024 ? `${(mb / 1024).toFixed(mb % 1024 ? 1 : 0)} GB` : `${mb} MB`;
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = count > 0 ? Math.min(4, Math.floor(Math.log10(count) / 3)) : 0;
  return `${(count / 1000 ** step).toFixed(step ? 1 : 0)} ${units[step]}`;
}

// All VMs: filtered, sorted, and changed many at once.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/preact-htm.mjs";
import { change } from "./api.mjs";
import { ago, agreed, gigabytes, Loading, Problem, Status } from "./parts.mjs";
import { useVms } from "./store.mjs";

const ROW = 37; // pixels; only rows that can be seen are in the document
const SEEN = 60;
const AT_ONCE = 4;
const COLUMNS = [
  ["name", "Name", (vm) => vm.name],
  ["status", "Status", (vm) => vm.status],
  ["vcpus", "vCPUs", (vm) => vm.vcpus],
  ["memory", "Memory", (vm) => vm.memory_mb],
  ["address", "Address", (vm) => vm.network_config.ip],
  ["host", "Host", (vm) => vm.host],
  ["hypervisor", "Hypervisor", (vm) => vm.hypervisor],
  ["created", "Created", (vm) => vm.created_at],
];
// What a person chose, while other views are looked at.
const kept = { filter: "", sort: "name", down: false };

export function Vms() {
  const { vms, complete, error, version } = useVms();
  const [{ filter, sort, down }, setWanted] = useState(kept);
  const [chosen, setChosen] = useState(new Set());
  const { results, running, begin, end } = useBulk();
  const want = (more) => setWanted(Object.assign(kept, more) && { ...kept });
  const found = useMemo(() => {
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const value = COLUMNS.find(([key]) => key === sort)[2];
    const which = [...vms.values()].filter((vm) => words.every((word) => vm.text.includes(word)));
    const keyed = which.map((vm) => [value(vm), vm.name, vm]);
    const first = down ? 1 : -1;
    keyed.sort(([a, c], [b, d]) => (a < b ? first : a > b ? -first : c < d ? -1 : 1));
    return keyed.map((each) => each[2]);
  }, [version, filter, sort, down]);
  const picked = useMemo(() => found.filter((vm) => chosen.has(vm.id)), [found, chosen]);
  if (!complete && !found.length && !filter) return html`<h1>VMs</h1>${error ? html`<${Problem} error=${error} />` : html`<${Loading} />`}`;
  const toggle = (which, on) => setChosen((before) => {
    const after = new Set(before);
    for (const vm of which) on ? after.add(vm.id) : after.delete(vm.id);
    return after;
  });
  const bulk = async (verb) => {
    const many = picked.length === 1 ? picked[0].name : `${picked.length} VMs`;
    if (verb === "delete" && !(await agreed(`Delete ${many} for good?`, "Delete"))) return;
    begin(verb, picked);
  };
  const total = complete ? vms.size : `${vms.size} so far`;
  return html`<h1>VMs <small>${found.length === vms.size ? total : `${found.length} of ${total}`}</small></h1>
    <${Problem} error=${error} />
    <div class="tools">
      <input type="search" aria-label="Filter" placeholder="Filter: name, status, host, address" value=${filter} onInput=${(event) => want({ filter: event.target.value })} />
      ${["start", "stop", "restart", "delete"].map((verb) => html`<button class=${verb === "delete" ? "danger" : null} disabled=${!picked.length || running} onClick=${() => bulk(verb)}>${verb}</button>`)}
      <a class="button primary" href="#/create">New VM</a>
    </div>
    <${Outcome} results=${results} running=${running} end=${end} picked=${picked.length} />
    ${found.length ? html`<${Rows} found=${found} chosen=${chosen} all=${picked.length === found.length} toggle=${toggle} results=${results} sort=${sort} down=${down} want=${want} />`
      : html`<p class="empty">${vms.size ? "No VM matches the filter." : html`No VMs yet. <a href="#/create">Create the first one</a>.`}</p>`}`;
}

// One line that says how far a bulk action is, and what failed.
function Outcome({ results, running, end, picked }) {
  const told = [...results.values()];
  const failed = told.filter(({ bad }) => bad).length;
  const done = told.filter(({ done: over }) => over).length;
  const said = told.length ? `${running ?? "Done"}: ${done} of ${told.length}${failed ? `, ${failed} failed` : ""}` : picked ? `${picked} chosen` : "";
  return html`<p class="outcome" role="status">${said} ${running && html`<button onClick=${end}>Stop after these</button>`}</p>`;
}

// Runs a verb on many VMs, a few at once; `results` has what became of each.
function useBulk() {
  const [results, setResults] = useState(new Map());
  const [running, setRunning] = useState(null);
  const ended = useRef(false);
  const begin = async (verb, which) => {
    const queue = [...which];
    ended.current = false;
    setRunning(verb);
    setResults(new Map(queue.map((vm) => [vm.id, { text: "waiting" }])));
    const tell = (vm, said) => setResults((before) => new Map(before).set(vm.id, said));
    const work = async () => {
      for (let vm = queue.shift(); vm; vm = queue.shift()) {
        if (ended.current) tell(vm, { text: "not done", done: true });
        else await one(verb, vm, (said) => tell(vm, said));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    setRunning(null);
  };
  return { results, running, begin, end: () => { ended.current = true; } };
}

async function one(verb, vm, tell) {
  tell({ text: `${verb} …` });
  const [method, path] = verb === "delete" ? ["DELETE", ""] : ["POST", `/${verb}`];
  try {
    await change(method, `/vms/${vm.id}${path}`, undefined, (operation) => tell({ text: operation.progress?.step ?? `${verb} …` }));
    tell({ text: "done", done: true });
  } catch (problem) {
    tell({ text: problem.message, done: true, bad: true });
  }
}

function Rows({ found, chosen, all, toggle, results, sort, down, want }) {
  const [top, setTop] = useState(0);
  const place = useRef(null);
  useEffect(() => {
    place.current.scrollTop = 0;
  }, [sort, down]);
  const first = Math.max(0, Math.min(Math.floor(top / ROW) - 15, found.length - SEEN));
  const shown = found.slice(first, first + SEEN);
  const now = Date.now();
  return html`<div class="rows" ref=${place} onScroll=${(event) => setTop(event.target.scrollTop)} tabindex="0" role="region" aria-label="VMs">
    <table aria-rowcount=${found.length + 1}><thead><tr aria-rowindex="1">
      <th scope="col"><input type="checkbox" aria-label="Choose all" checked=${all} onChange=${(event) => toggle(found, event.target.checked)} /></th>
      ${COLUMNS.map(([key, label]) => html`<th scope="col" aria-sort=${sort === key ? (down ? "descending" : "ascending") : null}>
        <button class="sort" onClick=${() => want({ sort: key, down: sort === key && !down })}>${label}</button></th>`)}
      ${results.size > 0 && html`<th scope="col">Result</th>`}
    </tr></thead><tbody>
      <tr aria-hidden="true" class="space" style=${{ height: `${first * ROW}px` }}></tr>
      ${shown.map((vm, at) => html`<tr key=${vm.id} aria-rowindex=${first + at + 2}>
        <td><input type="checkbox" aria-label=${`Choose ${vm.name}`} checked=${chosen.has(vm.id)} onChange=${(event) => toggle([vm], event.target.checked)} /></td>
        <td><a href="#/vm/${encodeURIComponent(vm.name)}">${vm.name}</a></td><td><${Status} of=${vm.status} /></td>
        <td>${vm.vcpus}</td><td>${gigabytes(vm.memory_mb)}</td><td>${vm.network_config.ip || "–"}</td><td>${vm.host}</td>
        <td>${vm.hypervisor}</td><td><time datetime=${vm.created_at} title=${vm.created_at}>${ago(vm.created_at, now)}</time></td>
        ${results.size > 0 && html`<td class="result ${results.get(vm.id)?.bad ? "bad" : ""}" title=${results.get(vm.id)?.text}>${results.get(vm.id)?.text}</td>`}</tr>`)}
      <tr aria-hidden="true" class="space" style=${{ height: `${Math.max(0, found.length - first - SEEN) * ROW}px` }}></tr>
    </tbody></table>
  </div>`;
}

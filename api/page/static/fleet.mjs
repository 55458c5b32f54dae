// The fleet beside its VMs: hosts, operations and images.

import { html, useEffect, useState } from "./vendor/preact-htm.mjs";
import { all, send, upload } from "./api.mjs";
import { listen, useBeat } from "./heard.mjs";
import { Age, agreed, Bar, bytes, Choice, Field, gigabytes, Loading, Problem, Progress, Status, Table, useAction, useLoaded } from "./parts.mjs";

const UNITS = [["vcpus", "vCPUs", (count) => count], ["memory_mb", "Memory", gigabytes], ["disk_gb", "Disk", (count) => `${count} GB`]];
const PAGE = 50;

export function Fleet() {
  const beat = useBeat((event) => /^(host|driver)_/.test(event.event_type) || event.event_type === "vm_created" || event.event_type === "vm_deleted");
  const { value: hosts, error } = useLoaded(() => all("/hosts", "hosts"), [beat]);
  const { value: verdicts } = useLoaded(() => all("/placements", "placements", {}), [beat]);
  const { value: health } = useLoaded(() => send("GET", "/health"), [beat]);
  const why = Object.fromEntries((verdicts ?? []).map((each) => [each.host, each.reasons]));
  return html`<h1>Fleet ${health && html`<${Status} of=${health.status} />`}</h1><${Problem} error=${error} />
    ${health && html`<ul class="parts" aria-label="Parts of the fleet">${Object.entries(health.components).filter(([, state]) => state !== "absent").map(([part, state]) => html`<li>${part === "api" ? "API" : part.replaceAll("_", " ")} <${Status} of=${state} /></li>`)}</ul>
      ${Object.entries(health.problems ?? {}).map(([part, said]) => html`<p class="note"><strong>${part}</strong>: ${said}</p>`)}`}
    ${hosts ? html`<div class="cards">${hosts.map((host) => html`<${Host} key=${host.name} host=${host} reasons=${why[host.name] ?? []} />`)}</div>` : !error && html`<${Loading} />`}
    ${hosts && !hosts.length && html`<p class="empty">No hosts yet. <code>corral host add</code> prints the command that makes a machine a host.</p>`}`;
}

function Host({ host, reasons }) {
  const { scheduling } = host;
  return html`<section class="card host"><h2>${host.name} <${Status} of=${host.status} /> ${scheduling.state !== "active" && html`<${Status} of=${scheduling.state} />`}</h2>
    ${scheduling.state !== "active" && html`<p class="small">${scheduling.state} by ${scheduling.by} <${Age} at=${scheduling.since} />${scheduling.reason && `: ${scheduling.reason}`}</p>`}
    ${UNITS.map(([unit, label, show]) => host.offered?.[unit] != null && html`<${Bar} label=${label} show=${show} used=${Math.max(0, host.offered[unit] - host.free[unit])} total=${host.offered[unit]} />`)}
    <ul class="plain">${host.hypervisors.map((driver) => html`<li>${driver.name} ${driver.version} <${Status} of=${driver.healthy ? "healthy" : "unhealthy"} />${driver.problem && html`<br /><small>${driver.problem}</small>`}</li>`)}</ul>
    ${host.problems.map((problem) => html`<p class="note small">${problem.message} <small>since <${Age} at=${problem.since} /></small></p>`)}
    ${reasons.length > 0 && html`<div class="note small"><strong>Takes no new VMs</strong><ul>${reasons.map((reason) => html`<li>${reason.message}</li>`)}</ul></div>`}
    ${Object.keys(host.labels).length > 0 && html`<p class="labels">${Object.entries(host.labels).map(([key, value]) => html`<code>${key}=${value}</code> `)}</p>`}
    <small>last seen <${Age} at=${host.last_seen_at} /></small></section>`;
}

const LIVE = ["queued", "running"];

// Operations, newest first. What is heard of one that is shown is shown at once; the rest is asked for.
export function Operations() {
  const [state, setState] = useState("");
  const [offset, setOffset] = useState(0);
  const [heard, setHeard] = useState({});
  const { act, problem } = useAction();
  const beat = useBeat((event) => event.event_type === "operation" && (event.data.state === "queued" || !LIVE.includes(event.data.state)));
  const { value, error } = useLoaded(() => send("GET", `/operations?limit=${PAGE}&offset=${offset}${state && `&state=${state}`}`), [beat, state, offset]);
  useEffect(() => listen((event) => {
    if (event.event_type === "operation") setHeard((before) => ({ ...before, [event.data.operation_id]: event.data }));
  }), []);
  useEffect(() => setHeard({}), [value]);
  const rows = value?.operations.map((each) => ({ ...each, ...heard[each.id] }));
  const cancel = (each) => act(() => send("DELETE", `/operations/${each.id}`));
  return html`<h1>Operations ${value && html`<small>${value.total}</small>`}</h1>
    <div class="tools"><${Choice} label="State" value=${state} change=${(event) => { setState(event.target.value); setOffset(0); }} options=${[["", "all states"], ["queued"], ["running"], ["succeeded"], ["failed"], ["cancelled"]]} />
      <${Pages} value=${value} offset=${offset} go=${setOffset} /></div>
    <${Problem} error=${problem ?? error} />
    ${!error && html`<${Table} label="Operations" rows=${rows} empty=${state ? `No operation is ${state}.` : "No operations yet."} columns=${[...WORK,
      ["", (each) => LIVE.includes(each.state) && html`<button onClick=${() => cancel(each)} aria-label=${`Cancel ${each.kind} of ${each.vm_name || each.host}`}>cancel</button>`]]} />`}`;
}

// The columns of an operation, without its buttons.
export const WORK = [
  ["Kind", (each) => each.kind.replaceAll("_", " ")],
  ["VM", (each) => each.vm_name && html`<a href="#/vm/${encodeURIComponent(each.vm_name)}">${each.vm_name}</a>`],
  ["State", (each) => html`<${Status} of=${each.state} />`],
  ["Progress", (each) => html`<${Step} of=${each} />`],
  ["Host", (each) => each.host],
  ["Accepted", (each) => html`<${Age} at=${each.accepted_at} />`],
  ["Took", (each) => (each.ended_at ? `${Math.max(0, (Date.parse(each.ended_at) - Date.parse(each.accepted_at)) / 1000)} s` : "")],
  ["Why it failed", (each) => each.error && html`<span class="why">${each.error.message}</span>`],
];

function Step({ of }) {
  if (!LIVE.includes(of.state)) return null;
  const { percent = null, step = "" } = of.progress ?? {};
  return html`<${Progress} share=${percent === null ? null : percent / 100} label=${`Progress of ${of.kind}`} /> <small>${step}</small>`;
}

export function Pages({ value, offset, go }) {
  if (!value || value.total <= value.limit) return null;
  const last = Math.min(offset + value.limit, value.total);
  return html`<nav class="line" aria-label="Pages"><button disabled=${!offset} onClick=${() => go(Math.max(0, offset - value.limit))}>Newer</button>
    <small>${offset + 1} to ${last} of ${value.total}</small><button disabled=${last >= value.total} onClick=${() => go(offset + value.limit)}>Older</button></nav>`;
}

export function Images() {
  const [round, setRound] = useState(0);
  const [share, setShare] = useState(null);
  const { value: images, error } = useLoaded(() => all("/images", "images"), [round]);
  const { act, busy, problem } = useAction();
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    for (const name of ["kernel", "initrd"]) if (!form.get(name)?.size) form.delete(name);
    act(async () => {
      setShare(0);
      await upload("/images", form, setShare);
      event.target.reset();
      setRound((before) => before + 1);
    }).then(() => setShare(null));
  };
  const remove = async (image) => {
    if (await agreed(`Remove image ${image.name}? VMs created from it keep their disks.`, "Remove")) act(() => send("DELETE", `/images/${image.name}`).then(() => setRound((before) => before + 1)));
  };
  return html`<h1>Images</h1><${Problem} error=${problem ?? error} />
    ${!error && html`<${Table} label="Images" rows=${images} empty="No images yet. Add a disk below, or run corral image build." columns=${[
      ["Name", (each) => each.name], ["OS", (each) => each.os_type], ["Disk", (each) => `${each.disk_size_gb} GB`], ["Stored", (each) => bytes(each.size_bytes)],
      ["Guest agent", (each) => (each.guest_agent ? "yes" : "no")], ["Hosts", (each) => each.hosts.join(", ") || "none yet"], ["Description", (each) => each.description],
      ["", (each) => html`<button class="danger" disabled=${busy} onClick=${() => remove(each)} aria-label=${`Remove ${each.name}`}>remove</button>`],
    ]} />`}
    <h2>Add an image</h2><form class="sheet card" onSubmit=${submit}>
      <${Field} label="Name" name="name" required autocomplete="off" />
      <${Field} label="Disk, qcow2 or raw" name="disk" type="file" required />
      <${Field} label="Kernel" name="kernel" type="file" help="Only if the disk's own boot loader is not to be used." />
      <${Field} label="Initrd" name="initrd" type="file" />
      <${Choice} label="OS" name="os_type" options=${[["linux"], ["windows"]]} />
      <${Field} label="Description" name="description" />
      <label class="check"><input type="checkbox" name="guest_agent" value="true" /> It has a guest agent</label>
      <p class="line"><button class="primary" disabled=${busy}>Upload</button>
        ${share !== null && html`<${Progress} share=${share} label="Upload" /> <span role="status">${share < 1 ? `${Math.round(share * 100)} %` : "being checked …"}</span>`}</p></form>`;
}

// One VM: what is known of it, what one can do with it, and what happens to it.

import { html, useEffect, useState } from "./vendor/preact-htm.mjs";
import { all, change, events, send } from "./api.mjs";
import { Console } from "./console.mjs";
import { Devices } from "./devices.mjs";
import { Files } from "./files.mjs";
import { WORK } from "./fleet.mjs";
import { useBeat } from "./heard.mjs";
import { Age, agreed, bytes, Field, gigabytes, Loading, Moment, Problem, Status, Table, useAction, useLoaded } from "./parts.mjs";
import { Plots } from "./plots.mjs";

const TABS = { overview: ["Overview", Overview], console: ["Console", Console], run: ["Run", Run], files: ["Files", Files], snapshots: ["Snapshots", Snapshots], devices: ["Devices", Devices], events: ["Events", Events] };
const ACTIONS = { running: ["stop", "restart", "pause", "save"], paused: ["resume", "stop"], created: ["start"], stopped: ["start"], failed: ["start"], crashed: ["start"] };
const GUEST = new Set(["console", "run", "files"]);

export function OneVm({ name, tab = "overview" }) {
  const path = `/vms/${encodeURIComponent(name)}`;
  const beat = useBeat((event) => event.vm_name === name || event.data.vm_name === name);
  const { value: vm, error } = useLoaded(() => send("GET", path), [name, beat]);
  const { act: run, busy, problem } = useAction();
  const act = (method, where, body) => run((say) => change(method, path + where, body, (operation) => say(operation.progress?.step ?? operation.state)), "sending …");
  const remove = async () => {
    if (!(await agreed(`Delete ${name} for good, with its disk and its snapshots?`, "Delete"))) return;
    run(async (say) => {
      await change("DELETE", path, undefined, (operation) => say(operation.progress?.step ?? operation.state));
      location.hash = "#/vms";
    }, "deleting …");
  };
  if (!vm) return error ? html`<h1>${name}</h1><${Problem} error=${error} /><p><a href="#/vms">All VMs</a></p>` : html`<h1>${name}</h1><${Loading} />`;
  const [, View] = TABS[tab] ?? TABS.overview;
  return html`<p class="crumb"><a href="#/vms">VMs</a></p><h1>${vm.name} <${Status} of=${vm.status} /></h1>
    ${vm.reason && html`<p class="note">${vm.reason}</p>`}
    <div class="tools">
      ${(ACTIONS[vm.status] ?? []).map((verb) => html`<button disabled=${busy} onClick=${() => act("POST", `/${verb}`)}>${verb}</button>`)}
      <button class="danger" disabled=${busy} onClick=${remove}>delete</button>
      <span role="status">${busy}</span>
    </div>
    <${Problem} error=${problem ?? error} />
    <nav class="tabs" aria-label="Parts of the VM">${Object.entries(TABS).map(([each, [label]]) => html`<a href="#/vm/${encodeURIComponent(name)}/${each}" aria-current=${tab === each ? "page" : null}>${label}</a>`)}</nav>
    ${GUEST.has(tab) && vm.status !== "running" ? html`<p class="empty">The VM is ${vm.status}. ${ACTIONS[vm.status]?.includes("start") ? "Start it to use its " : "A running VM has a "}${tab === "run" ? "guest" : tab}.</p>`
      : html`<${View} key=${tab} vm=${vm} path=${path} beat=${beat} act=${act} busy=${busy} />`}`;
}

function Facts({ of }) {
  return html`<dl>${of.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false).map(([term, value]) => html`<dt>${term}</dt><dd>${value}</dd>`)}</dl>`;
}

function Overview({ vm, path, beat, act, busy }) {
  const { value: network } = useLoaded(() => send("GET", `${path}/network`), [beat]);
  const next = vm.at_next_start;
  const changes = next.vcpus !== vm.vcpus || next.memory_mb !== vm.memory_mb;
  return html`<div class="columns"><section class="card"><h2>About</h2><${Facts} of=${[
    ["Size", `${vm.vcpus} vCPU, ${gigabytes(vm.memory_mb)}, ${vm.disk_size_gb} GB of disk`],
    ["At the next start", changes && `${next.vcpus} vCPU, ${gigabytes(next.memory_mb)}`],
    ["Image", vm.template],
    ["Host", `${vm.host} (${vm.hypervisor})`],
    ["Address", network?.ip_address ?? vm.network_config.ip],
    ["Network", network && `${vm.network_config.type}, ${network.connectivity_status}`],
    ["Created", html`<${Age} at=${vm.created_at} />`],
    ["Started", vm.started_at && html`<${Age} at=${vm.started_at} />`],
    ["Deleted at", vm.expires_at && html`<${Moment} at=${vm.expires_at} />`],
    ["If its host is lost", vm.restart_policy === "elsewhere" && "created again elsewhere"],
    ["Id", html`<code>${vm.id}</code>`],
  ]} /></section>
  <section class="card"><h2>Change</h2><${Resize} vm=${vm} act=${act} busy=${busy} /><${Expiry} path=${path} vm=${vm} /></section></div>
  ${vm.status === "running" ? html`<${Plots} path=${path} />` : html`<p class="empty">A VM that runs shows here what it uses.</p>`}`;
}

function Resize({ vm, act, busy }) {
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    act("PUT", "/resources", { vcpus: Number(form.get("vcpus")), memory_mb: Number(form.get("memory_mb")) });
  };
  return html`<form class="tools" onSubmit=${submit}><${Field} label="vCPUs" name="vcpus" type="number" min="1" value=${vm.at_next_start.vcpus} required />
    <${Field} label="Memory, MB" name="memory_mb" type="number" min="128" value=${vm.at_next_start.memory_mb} required /><button disabled=${busy}>Resize</button></form>`;
}

function Expiry({ path, vm }) {
  const { act, busy, problem } = useAction();
  const [until, setUntil] = useState(vm.expires_at);
  const set = (seconds) => act(async () => setUntil((await send("PUT", `${path}/expiry`, { ttl_seconds: seconds })).expires_at));
  const submit = (event) => {
    event.preventDefault();
    set(Math.round(3600 * Number(new FormData(event.target).get("hours"))));
  };
  return html`<form class="tools" onSubmit=${submit}><${Field} label="Delete it in hours" name="hours" type="number" min="0.1" step="0.1" required /><button disabled=${busy}>Set</button>
    ${until && html`<button type="button" disabled=${busy} onClick=${() => set(null)}>Keep it</button>`}</form>
    <p class="small" role="status">${until ? html`It is deleted at <${Moment} at=${until} />.` : "It is not deleted automatically."}</p><${Problem} error=${problem} />`;
}

function Run({ path }) {
  const [done, setDone] = useState([]);
  const { act, busy, problem } = useAction();
  const submit = (event) => {
    event.preventDefault();
    const command = new FormData(event.target).get("command");
    act(async () => {
      const result = await send("POST", `${path}/execute`, { command, timeout_seconds: 60 });
      setDone((before) => [result, ...before].slice(0, 20));
    }, "running …");
  };
  return html`<form class="line" onSubmit=${submit}><input name="command" aria-label="Command" placeholder="uname -a" required autocomplete="off" spellcheck="false" /><button class="primary" disabled=${busy}>${busy ?? "Run"}</button></form>
    <${Problem} error=${problem} />
    ${!done.length && html`<p class="empty">A command runs in the guest's shell, for a minute at most. Its output is shown here.</p>`}
    ${done.map((result, at) => html`<section class="output" key=${done.length - at}><h2><code>${result.command}</code> <small>exit code ${result.exit_code}, ${result.execution_time_seconds} s</small></h2>
      ${result.stdout && html`<pre tabindex="0" aria-label="Output">${result.stdout}</pre>`}${result.stderr && html`<pre class="bad" tabindex="0" aria-label="Errors">${result.stderr}</pre>`}</section>`)}`;
}

function Snapshots({ path, beat, act, busy, vm }) {
  const { value: snapshots, error } = useLoaded(() => all(`${path}/snapshots`, "snapshots"), [beat]);
  const take = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const body = { name: form.get("name"), description: form.get("description"), include_memory: form.get("memory") !== null };
    act("POST", "/snapshots", body);
    event.target.reset();
  };
  const restore = async (each) => (await agreed(`Restore ${each.name}? What changed since is lost.`, "Restore")) && act("POST", `/snapshots/${encodeURIComponent(each.name)}/restore`);
  const remove = async (each) => (await agreed(`Delete the snapshot ${each.name}?`, "Delete")) && act("DELETE", `/snapshots/${encodeURIComponent(each.name)}`);
  return html`<form class="tools" onSubmit=${take}><${Field} label="Name" name="name" required autocomplete="off" /><${Field} label="Description" name="description" autocomplete="off" />
      ${vm.status === "running" && html`<label class="check"><input type="checkbox" name="memory" checked /> with memory</label>`}<button class="primary" disabled=${busy}>Take snapshot</button></form>
    <${Problem} error=${error} />
    ${!error && html`<${Table} label="Snapshots" rows=${snapshots} empty="No snapshots yet. One keeps the VM as it is now, to return to." columns=${[
      ["Name", (each) => each.name], ["Description", (each) => each.description], ["Memory", (each) => (each.include_memory ? "yes" : "no")], ["VM was", (each) => html`<${Status} of=${each.metadata.vm_status} />`],
      ["Size", (each) => bytes(each.size_bytes)], ["Taken", (each) => html`<${Age} at=${each.created_at} />`],
      ["", (each) => html`<button disabled=${busy} onClick=${() => restore(each)} aria-label=${`Restore ${each.name}`}>restore</button>
        <button class="danger" disabled=${busy} onClick=${() => remove(each)} aria-label=${`Delete ${each.name}`}>delete</button>`],
    ]} />`}`;
}

const SHOWN = 200;

function said({ event_type: type, data }) {
  if (type === "status_change") return html`${data.old_status} → <${Status} of=${data.new_status} /> ${data.reason ?? ""}`;
  if (type === "operation") return html`${data.kind.replaceAll("_", " ")} <${Status} of=${data.state} /> ${data.progress?.step ?? ""} ${data.error?.message ?? ""}`;
  return "";
}

// All that is recorded of the VM, and what happens while one looks.
function Events({ vm, path, beat }) {
  const [seen, setSeen] = useState([]);
  const { value: work, error } = useLoaded(() => send("GET", `/operations?vm=${vm.id}&limit=20`), [beat]);
  useEffect(() => events((event) => setSeen((before) => [event, ...before].slice(0, SHOWN)), { path: `${path}/events`, after: 0 }), [path]);
  const columns = WORK.filter(([heading]) => heading !== "VM");
  return html`<h2>Operations</h2><${Problem} error=${error} />${!error && html`<${Table} label="Operations" rows=${work?.operations} empty="None yet." columns=${columns} />`}
    <h2>Events</h2>
    <${Table} label="Events" rows=${seen.map((event) => ({ ...event, id: event.seq }))} empty="Nothing yet." columns=${[
      ["At", (event) => html`<${Moment} at=${event.timestamp} />`], ["Event", (event) => event.event_type.replaceAll("_", " ")], ["What", said],
    ]} />`;
}

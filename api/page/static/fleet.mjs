// The fleet beside its VMs: hosts, operations, images, keys and the audit log.

import { html, useState } from "./vendor/preact-htm.mjs";
import { all, send } from "./api.mjs";
import { Age, Bar, bytes, Problem, Status, Table, useLoaded } from "./parts.mjs";

const UNITS = { vcpus: "vCPUs", memory_mb: "MB of memory", disk_gb: "GB of disk" };

export function Fleet({ count }) {
  const { value: hosts, error } = useLoaded(() => all("/hosts", "hosts"), [count]);
  const { value: health } = useLoaded(() => send("GET", "/health"), [count]);
  return html`<h1>Fleet ${health && html`<${Status} of=${health.status} />`}</h1><${Problem} error=${error} />
    ${health && html`<p class="parts">${Object.entries(health.components).map(([part, state]) => html`<span>${part} <${Status} of=${state} /></span>`)}</p>`}
    ${hosts && html`<div class="cards">${hosts.map((host) => html`<section class="card" key=${host.name}>
      <h2>${host.name} <${Status} of=${host.status} /> ${host.scheduling.state !== "active" && html`<${Status} of=${host.scheduling.state} />`}</h2>
      ${host.scheduling.state !== "active" && html`<p>${host.scheduling.state} by ${host.scheduling.by} <${Age} at=${host.scheduling.since} />${host.scheduling.reason && `: ${host.scheduling.reason}`}</p>`}
      ${Object.entries(UNITS).map(([unit, label]) => host.capacity?.[unit] != null && html`<${Bar} label=${label} used=${host.capacity[unit] - host.free[unit]} total=${host.capacity[unit]} />`)}
      ${host.hypervisors.map((driver) => html`<p>${driver.name} ${driver.version} <${Status} of=${driver.healthy ? "healthy" : "unhealthy"} />${driver.problem && html`<br /><small>${driver.problem}</small>`}</p>`)}
      ${Object.keys(host.labels).length > 0 && html`<p>${Object.entries(host.labels).map(([key, value]) => html`<code>${key}=${value}</code> `)}</p>`}
      <small>last seen <${Age} at=${host.last_seen_at} /></small></section>`)}</div>`}`;
}

export function Operations({ count }) {
  const [state, setState] = useState("");
  const { value, error } = useLoaded(() => send("GET", `/operations?limit=100${state && `&state=${state}`}`), [count, state]);
  return html`<h1>Operations</h1><div class="tools"><select aria-label="State" onChange=${(event) => setState(event.target.value)}>
      <option value="">all states</option>${["queued", "running", "succeeded", "failed", "cancelled"].map((each) => html`<option>${each}</option>`)}</select></div>
    <${Problem} error=${error} />
    ${value && html`<${Table} label="Operations" rows=${value.operations} empty="None." columns=${[
      ["Kind", (each) => each.kind],
      ["VM", (each) => each.vm_name && html`<a href="#/vm/${encodeURIComponent(each.vm_name)}">${each.vm_name}</a>`],
      ["State", (each) => html`<${Status} of=${each.state} />`],
      ["Step", (each) => (["queued", "running"].includes(each.state) ? (each.progress?.step ?? "") : "")],
      ["Host", (each) => each.host],
      ["Accepted", (each) => html`<${Age} at=${each.accepted_at} />`],
      ["Error", (each) => each.error?.message ?? ""],
      ["", (each) => ["queued", "running"].includes(each.state) && html`<button onClick=${() => send("DELETE", `/operations/${each.id}`)}>cancel</button>`],
    ]} />`}`;
}

export function Images({ count }) {
  const { value: images, error } = useLoaded(() => all("/images", "images"), [count]);
  return html`<h1>Images</h1><${Problem} error=${error} />
    ${images && html`<${Table} label="Images" rows=${images} empty="None." columns=${[
      ["Name", (each) => each.name], ["OS", (each) => each.os_type], ["Disk", (each) => `${each.disk_size_gb} GB`], ["Stored", (each) => bytes(each.size_bytes)],
      ["Guest agent", (each) => (each.guest_agent ? "yes" : "no")], ["Hosts", (each) => each.hosts.join(", ")], ["", (each) => each.description],
    ]} />`}`;
}

export function Keys({ count }) {
  const [round, setRound] = useState(0);
  const [secret, setSecret] = useState(null);
  const [problem, setProblem] = useState(null);
  const { value: keys, error } = useLoaded(() => all("/keys", "keys"), [count, round]);
  const make = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    try {
      setSecret((await send("POST", "/keys", { name: form.get("name"), access: form.get("access") })).key);
      setRound(round + 1);
    } catch (refused) {
      setProblem(refused);
    }
  };
  const revoke = async (key) => {
    await send("DELETE", `/keys/${key.id}`);
    setRound(round + 1);
  };
  return html`<h1>API keys</h1>
    <form class="line" onSubmit=${make}><input name="name" aria-label="Name" placeholder="Name of a new key" required /><select name="access" aria-label="Access"><option>full</option><option>read</option></select><button>Make</button></form>
    ${secret && html`<p class="note">The new key, shown this once: <code>${secret}</code></p>`}<${Problem} error=${problem ?? error} />
    ${keys && html`<${Table} label="API keys" rows=${keys} empty="None." columns=${[
      ["Name", (each) => each.name], ["Begins with", (each) => html`<code>${each.prefix}</code>`], ["Access", (each) => each.access], ["Made", (each) => html`<${Age} at=${each.created_at} />`],
      ["", (each) => (each.revoked_at ? "revoked" : html`<button class="danger" onClick=${() => confirm(`Revoke ${each.name}?`) && revoke(each)}>revoke</button>`)],
    ]} />`}`;
}

export function Audit({ count }) {
  const { value, error } = useLoaded(() => send("GET", "/security/audit-logs?limit=100"), [count]);
  return html`<h1>Audit log</h1><${Problem} error=${error} />
    ${value && html`<${Table} label="Audit log" rows=${value.logs.map((each, at) => ({ ...each, id: at }))} empty="Nothing yet." columns=${[
      ["At", (each) => each.timestamp], ["Action", (each) => each.action_type], ["Result", (each) => each.result], ["Of", (each) => `${each.resource_type} ${each.resource_id}`], ["User", (each) => each.username ?? each.user_id ?? ""], ["From", (each) => each.source_ip ?? ""],
    ]} />`}`;
}

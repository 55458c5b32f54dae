// One VM: what is known of it, what one can do with it, and what happens to it.

import { html, useEffect, useState } from "./vendor/preact-htm.mjs";
import { all, change, file, send } from "./api.mjs";
import { Console } from "./console.mjs";
import { Age, bytes, gigabytes, Problem, Status, Table, useLoaded } from "./parts.mjs";

const TABS = [["overview", "Overview"], ["console", "Console"], ["run", "Run"], ["files", "Files"], ["snapshots", "Snapshots"], ["devices", "Devices"], ["events", "Events"]];
const ACTIONS = {
  running: ["stop", "restart", "pause"],
  paused: ["resume", "stop"],
  created: ["start"],
  stopped: ["start"],
  failed: ["start"],
  crashed: ["start"],
};

export function OneVm({ name, tab = "overview", count, heard }) {
  const path = `/vms/${encodeURIComponent(name)}`;
  const { value: vm, error } = useLoaded(() => send("GET", path), [name, count]);
  const [step, setStep] = useState(null);
  const [problem, setProblem] = useState(null);
  const act = async (method, where, body, then) => {
    setProblem(null);
    setStep("sending …");
    try {
      await change(method, path + where, body, (operation) => setStep(operation.progress?.step ?? operation.state));
      then?.();
    } catch (refused) {
      setProblem(refused);
    }
    setStep(null);
  };
  if (!vm) return error ? html`<h1>${name}</h1><${Problem} error=${error} /><p><a href="#/vms">All VMs</a></p>` : html`<p class="empty" role="status">Loading …</p>`;
  const View = { overview: Overview, console: Console, run: Run, files: Files, snapshots: Snapshots, devices: Devices, events: Events }[tab] ?? Overview;
  return html`<h1>${vm.name} <${Status} of=${vm.status} /></h1>
    ${vm.reason && html`<p class="note">${vm.reason}</p>`}
    <div class="tools">
      ${(ACTIONS[vm.status] ?? []).map((verb) => html`<button disabled=${step !== null} onClick=${() => act("POST", `/${verb}`)}>${verb}</button>`)}
      <button class="danger" onClick=${() => confirm(`Delete ${vm.name} for good?`) && act("DELETE", "", undefined, () => { location.hash = "#/vms"; })}>delete</button>
      <span role="status">${step}</span>
    </div>
    <${Problem} error=${problem ?? error} />
    <nav class="tabs" aria-label="Parts of the VM">${TABS.map(([each, label]) => html`<a href="#/vm/${encodeURIComponent(name)}/${each}" aria-current=${tab === each ? "page" : null}>${label}</a>`)}</nav>
    <${View} vm=${vm} path=${path} count=${count} act=${act} heard=${heard} />`;
}

function Facts({ of }) {
  return html`<dl>${of.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([term, value]) => html`<dt>${term}</dt><dd>${value}</dd>`)}</dl>`;
}

function Overview({ vm, path, count }) {
  const { value: network } = useLoaded(() => send("GET", `${path}/network`), [count]);
  const usage = vm.resource_usage ?? {};
  return html`<${Facts} of=${[
    ["Size", `${vm.vcpus} vCPU, ${gigabytes(vm.memory_mb)}, ${vm.disk_size_gb} GB`],
    ["Image", vm.template],
    ["Host", `${vm.host} (${vm.hypervisor})`],
    ["Address", network?.ip_address ?? vm.network_config.ip],
    ["Network", network && `${vm.network_config.type}, ${network.connectivity_status}`],
    ["Created", html`<${Age} at=${vm.created_at} />`],
    ["Started", vm.started_at && html`<${Age} at=${vm.started_at} />`],
    ["Deleted automatically at", vm.expires_at],
    ["Processor", usage.cpu_usage_percent != null ? `${usage.cpu_usage_percent} %` : null],
    ["Memory used", usage.memory_used_mb != null ? gigabytes(usage.memory_used_mb) : null],
    ["Disk used", usage.disk_usage_gb != null ? `${usage.disk_usage_gb} GB` : null],
    ["Id", html`<code>${vm.id}</code>`],
  ]} />${vm.status === "running" && html`<${Plot} path=${path} />`}`;
}

// What the VM uses, asked for every three seconds while it is looked at; the last five minutes.
function Plot({ path }) {
  const [points, setPoints] = useState([]);
  useEffect(() => {
    let ended = false;
    const look = async () => {
      try {
        const { resource_usage: usage } = await send("GET", path);
        if (!ended && usage) setPoints((before) => [...before, usage.cpu_usage_percent ?? 0].slice(-100));
      } catch {
        // shown by the view around it
      }
      if (!ended) setTimeout(look, 3000);
    };
    look();
    return () => {
      ended = true;
    };
  }, [path]);
  const line = points.map((value, at) => `${(at * 300) / 99},${60 - (58 * Math.min(100, value)) / 100}`).join(" ");
  return html`<figure class="plot"><svg viewBox="0 0 300 60" preserveAspectRatio="none" role="img" aria-label="Processor use"><polyline points=${line} /></svg>
    <figcaption>Processor: ${points.length ? `${points.at(-1)} %` : "…"}</figcaption></figure>`;
}

function Run({ path }) {
  const [done, setDone] = useState([]);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const command = new FormData(event.target).get("command");
    setBusy(true);
    setError(null);
    try {
      const result = await send("POST", `${path}/execute`, { command, timeout_seconds: 60 });
      setDone((before) => [result, ...before].slice(0, 20));
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  };
  return html`<form class="line" onSubmit=${submit}><input name="command" aria-label="Command" placeholder="uname -a" required autocomplete="off" spellcheck="false" /><button disabled=${busy}>${busy ? "running …" : "Run"}</button></form>
    <${Problem} error=${error} />
    ${done.map((result) => html`<section class="output"><h2><code>${result.command}</code> <small>exit code ${result.exit_code}, ${result.execution_time_seconds} s</small></h2>
      <pre>${result.stdout}</pre>${result.stderr && html`<pre class="bad">${result.stderr}</pre>`}</section>`)}`;
}

function Files({ path }) {
  const [folder, setFolder] = useState("/");
  const [round, setRound] = useState(0);
  const [error, setError] = useState(null);
  const { value: listing, error: refused } = useLoaded(() => send("GET", `${path}/files?path=${encodeURIComponent(folder)}`), [folder, round]);
  const guarded = (work) => async (...given) => {
    setError(null);
    try {
      await work(...given);
    } catch (problem) {
      setError(problem);
    }
  };
  const fetchFile = guarded(async (entry) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await file(`${path}/files/download?path=${encodeURIComponent(entry.path)}`));
    link.download = entry.name;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  const upload = guarded(async (event) => {
    for (const each of event.target.files) {
      const form = new FormData();
      form.append("path", `${folder.replace(/\/$/, "")}/${each.name}`);
      form.append("file", each);
      await send("POST", `${path}/files/upload`, form);
    }
    event.target.value = "";
    setRound(round + 1);
  });
  const up = folder.replace(/\/[^/]+\/?$/, "") || "/";
  return html`<div class="tools"><button disabled=${folder === "/"} onClick=${() => setFolder(up)}>Up</button><code>${folder}</code>
      <label class="button">Upload …<input type="file" multiple class="hidden" onChange=${upload} /></label></div>
    <${Problem} error=${error ?? refused} />
    ${listing && html`<${Table} label="Files" empty="The folder is empty." rows=${listing.files.map((entry) => ({ ...entry, id: entry.path }))} columns=${[
      ["Name", (entry) => html`<button class="link" onClick=${() => (entry.is_directory ? setFolder(entry.path) : fetchFile(entry))}>${entry.name}${entry.is_directory ? "/" : ""}</button>`],
      ["Size", (entry) => (entry.is_directory ? "" : bytes(entry.size_bytes))],
      ["Mode", (entry) => html`<code>${entry.permissions}</code>`],
      ["Modified", (entry) => html`<${Age} at=${entry.modified_at} />`],
    ]} />`}`;
}

function Snapshots({ path, count, act, vm }) {
  const { value: snapshots, error } = useLoaded(() => all(`${path}/snapshots`, "snapshots"), [count]);
  const take = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    act("POST", "/snapshots", { name: form.get("name"), include_memory: form.get("memory") !== null });
    event.target.reset();
  };
  return html`<form class="line" onSubmit=${take}><input name="name" aria-label="Name" placeholder="Name of a new snapshot" required />
      ${vm.status === "running" && html`<label class="check"><input type="checkbox" name="memory" checked /> with memory</label>`}<button>Take</button></form>
    <${Problem} error=${error} />
    ${snapshots && html`<${Table} label="Snapshots" rows=${snapshots} empty="No snapshots." columns=${[
      ["Name", (each) => each.name],
      ["Memory", (each) => (each.include_memory ? "yes" : "no")],
      ["Size", (each) => bytes(each.size_bytes)],
      ["Taken", (each) => html`<${Age} at=${each.created_at} />`],
      ["", (each) => html`<button onClick=${() => confirm(`Restore ${each.name}? All later changes are lost.`) && act("POST", `/snapshots/${encodeURIComponent(each.name)}/restore`)}>restore</button>
        <button class="danger" onClick=${() => confirm(`Delete ${each.name}?`) && act("DELETE", `/snapshots/${encodeURIComponent(each.name)}`)}>delete</button>`],
    ]} />`}`;
}

function Devices({ path, count, act }) {
  const { value: disks, error } = useLoaded(() => all(`${path}/disks`, "disks"), [count]);
  const { value: adapters } = useLoaded(() => all(`${path}/network-adapters`, "network_adapters"), [count]);
  const { value: forwards } = useLoaded(() => all(`${path}/network/port-forwards`, "port_forwards"), [count]);
  const add = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    act("POST", "/network/port-forward", { guest_port: Number(form.get("port")), protocol: form.get("protocol") });
    event.target.reset();
  };
  return html`<${Problem} error=${error} /><h2>Disks</h2>
    ${disks && html`<${Table} label="Disks" rows=${disks.map((disk) => ({ ...disk, id: `${disk.controller}/${disk.port}/${disk.device}` }))} empty="None." columns=${[
      ["Place", (disk) => disk.id], ["Type", (disk) => disk.type], ["Size", (disk) => `${disk.size_gb} GB`], ["Format", (disk) => disk.format], ["Medium", (disk) => html`<code>${disk.medium}</code>`],
    ]} />`}
    <h2>Network adapters</h2>
    ${adapters && html`<${Table} label="Network adapters" rows=${adapters.map((each) => ({ ...each, id: each.slot }))} empty="None." columns=${[
      ["Slot", (each) => each.slot], ["Mode", (each) => each.mode], ["Type", (each) => each.type], ["Cable", (each) => (each.cable_connected ? "connected" : "out")], ["MAC", (each) => html`<code>${each.mac_address}</code>`],
    ]} />`}
    <h2>Port forwards</h2>
    <form class="line" onSubmit=${add}><input name="port" type="number" min="1" max="65535" aria-label="Port of the guest" placeholder="Port of the guest" required />
      <select name="protocol" aria-label="Protocol"><option>tcp</option><option>udp</option></select><button>Forward</button></form>
    ${forwards && html`<${Table} label="Port forwards" rows=${forwards} empty="None." columns=${[
      ["From", (each) => html`<code>${each.host_address}:${each.host_port}</code>`], ["To", (each) => `${each.guest_port}/${each.protocol}`],
      ["", (each) => html`<button class="danger" onClick=${() => act("DELETE", `/network/port-forwards/${each.id}`)}>remove</button>`],
    ]} />`}`;
}

function Events({ vm, count, heard }) {
  const { value: operations } = useLoaded(() => send("GET", `/operations?vm=${encodeURIComponent(vm.id)}&limit=20`), [count]);
  const mine = heard.filter((event) => event.vm_name === vm.name);
  return html`<h2>Operations</h2>
    ${operations && html`<${Table} label="Operations" rows=${operations.operations} empty="None." columns=${[
      ["Kind", (each) => each.kind], ["State", (each) => html`<${Status} of=${each.state} />`], ["Accepted", (each) => html`<${Age} at=${each.accepted_at} />`], ["Error", (each) => each.error?.message ?? ""],
    ]} />`}
    <h2>Events since you opened this page</h2>
    <${Table} label="Events" rows=${mine.map((event) => ({ ...event, id: event.seq }))} empty="Nothing yet." columns=${[
      ["At", (event) => event.timestamp], ["Event", (event) => event.event_type], ["", (event) => (event.data.new_status ? `${event.data.old_status} → ${event.data.new_status}` : "")],
    ]} />`;
}

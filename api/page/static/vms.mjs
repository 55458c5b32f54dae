// All VMs, and the form for a new one.

import { html, useState } from "./vendor/preact-htm.mjs";
import { all, change } from "./api.mjs";
import { Age, Field, gigabytes, Problem, Status, useLoaded } from "./parts.mjs";

const ROW = 37; // pixels; only rows that can be seen are in the document
const SEEN = 60;
const SORTS = { name: (vm) => vm.name, status: (vm) => vm.status, host: (vm) => vm.host, created: (vm) => vm.created_at };

export function Vms({ count }) {
  const { value: vms, error } = useLoaded(() => all("/vms", "vms"), [count]);
  const [filter, setFilter] = useState("");
  const [sort, setSort] = useState("name");
  const [chosen, setChosen] = useState(new Set());
  const [results, setResults] = useState({});
  const [top, setTop] = useState(0);
  if (!vms) return error ? html`<${Problem} error=${error} />` : html`<p class="empty" role="status">Loading …</p>`;
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (vm) => `${vm.name} ${vm.status} ${vm.host} ${vm.hypervisor} ${vm.network_config.ip}`.toLowerCase();
  const found = vms.filter((vm) => words.every((word) => text(vm).includes(word)));
  found.sort((a, b) => (SORTS[sort](a) < SORTS[sort](b) ? -1 : 1));
  const first = Math.max(0, Math.min(Math.floor(top / ROW) - 10, found.length - SEEN));
  const toggle = (names, on) => setChosen((before) => {
    const after = new Set(before);
    for (const name of names) on ? after.add(name) : after.delete(name);
    return after;
  });
  const bulk = async (verb) => {
    const names = [...chosen].filter((name) => found.some((vm) => vm.name === name));
    if (verb === "delete" && !confirm(`Delete ${names.length === 1 ? names[0] : `${names.length} VMs`} for good?`)) return;
    await Promise.all(names.map(async (name) => {
      const tell = (said) => setResults((before) => ({ ...before, [name]: said }));
      tell(`${verb} …`);
      const [method, path] = verb === "delete" ? ["DELETE", ""] : ["POST", `/${verb}`];
      try {
        await change(method, `/vms/${encodeURIComponent(name)}${path}`, undefined, (operation) => tell(operation.progress?.step ?? `${verb} …`));
        tell("done");
      } catch (problem) {
        tell(problem.message);
      }
    }));
  };
  return html`<h1>VMs <small>${found.length === vms.length ? vms.length : `${found.length} of ${vms.length}`}</small></h1>
    <${Problem} error=${error} />
    <div class="tools">
      <input type="search" aria-label="Filter" placeholder="Filter: name, status, host, address" value=${filter} onInput=${(event) => setFilter(event.target.value)} />
      <select aria-label="Sort by" onChange=${(event) => setSort(event.target.value)}>${Object.keys(SORTS).map((each) => html`<option selected=${each === sort}>${each}</option>`)}</select>
      ${["start", "stop", "restart", "delete"].map((verb) => html`<button disabled=${!chosen.size} onClick=${() => bulk(verb)}>${verb}</button>`)}
      <a class="button primary" href="#/create">New VM</a>
    </div>
    ${!found.length && html`<p class="empty">${vms.length ? "No VM matches the filter." : "No VMs yet."}</p>`}
    <div class="rows" onScroll=${(event) => setTop(event.target.scrollTop)} tabindex="0" role="region" aria-label="VMs">
      <table><thead><tr>
        <th scope="col"><input type="checkbox" aria-label="Choose all" checked=${found.length > 0 && found.every((vm) => chosen.has(vm.name))} onChange=${(event) => toggle(found.map((vm) => vm.name), event.target.checked)} /></th>
        ${["Name", "Status", "vCPUs", "Memory", "Address", "Host", "Hypervisor", "Created", "Result"].map((each) => html`<th scope="col">${each}</th>`)}
      </tr></thead><tbody>
        <tr aria-hidden="true" style=${{ height: `${first * ROW}px` }}></tr>
        ${found.slice(first, first + SEEN).map((vm) => html`<tr key=${vm.id}>
          <td><input type="checkbox" aria-label=${`Choose ${vm.name}`} checked=${chosen.has(vm.name)} onChange=${(event) => toggle([vm.name], event.target.checked)} /></td>
          <td><a href="#/vm/${encodeURIComponent(vm.name)}">${vm.name}</a></td><td><${Status} of=${vm.status} /></td>
          <td>${vm.vcpus}</td><td>${gigabytes(vm.memory_mb)}</td><td>${vm.network_config.ip}</td><td>${vm.host}</td>
          <td>${vm.hypervisor}</td><td><${Age} at=${vm.created_at} /></td><td class="result">${results[vm.name]}</td></tr>`)}
        <tr aria-hidden="true" style=${{ height: `${Math.max(0, found.length - first - SEEN) * ROW}px` }}></tr>
      </tbody></table>
    </div>`;
}

export function Create() {
  const { value: images } = useLoaded(() => all("/images", "images"), []);
  const { value: hosts } = useLoaded(() => all("/hosts", "hosts"), []);
  const [step, setStep] = useState(null);
  const [error, setError] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const body = { name: form.get("name"), vcpus: Number(form.get("vcpus")), memory_mb: Number(form.get("memory_mb")) };
    for (const name of ["template", "host"]) if (form.get(name)) body[name] = form.get(name);
    if (form.get("disk_gb")) body.storage_config = { disk_size_gb: Number(form.get("disk_gb")) };
    if (form.get("ttl_hours")) body.ttl_seconds = Math.round(3600 * Number(form.get("ttl_hours")));
    setError(null);
    try {
      const tell = (operation) => setStep(operation.progress?.step ?? operation.state);
      setStep("creating …");
      await change("POST", "/vms", body, tell);
      if (form.get("start")) await change("POST", `/vms/${encodeURIComponent(body.name)}/start`, undefined, tell);
      location.hash = `#/vm/${encodeURIComponent(body.name)}`;
    } catch (problem) {
      setError(problem);
      setStep(null);
    }
  };
  return html`<h1>New VM</h1><form class="sheet" onSubmit=${submit}>
    <${Field} label="Name" name="name" required pattern="[A-Za-z0-9][A-Za-z0-9._\\-]{0,62}" autofocus help="Letters, digits, '.', '_' and '-'." />
    <label class="field"><span>Image</span><select name="template"><option value="">default image</option>${images?.map((image) => html`<option>${image.name}</option>`)}</select></label>
    <${Field} label="vCPUs" name="vcpus" type="number" min="1" value="1" required />
    <${Field} label="Memory, MB" name="memory_mb" type="number" min="128" step="128" value="512" required />
    <${Field} label="Disk, GB" name="disk_gb" type="number" min="1" help="Empty: the default, or what the image needs if more." />
    <label class="field"><span>Host</span><select name="host"><option value="">any host</option>
      ${hosts?.map((host) => html`<option value=${host.name} disabled=${host.status === "offline"}>${host.name}${host.status === "offline" ? ": offline" : `: ${host.free.vcpus} vCPU, ${gigabytes(host.free.memory_mb)} free`}</option>`)}</select></label>
    <${Field} label="Time to live, in hours" name="ttl_hours" type="number" min="0.1" step="0.1" help="Empty: it is not deleted automatically." />
    <label class="check"><input type="checkbox" name="start" checked /> Start it</label>
    <${Problem} error=${error} />
    <p><button class="primary" disabled=${step !== null}>${step ?? "Create"}</button> <a href="#/vms">Back</a></p></form>`;
}

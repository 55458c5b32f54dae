// The form for a new VM, which says where it would be placed before it is sent.

import { html, useEffect, useRef, useState } from "./vendor/preact-htm.mjs";
import { all, change, send } from "./api.mjs";
import { Choice, Field, gigabytes, Problem, Status, useAction, useLoaded } from "./parts.mjs";

const PAUSE = 500; // milliseconds after the last key
const SHOWN = 8; // hosts that a person sees at once

function wanted(form) {
  const body = { name: form.get("name"), vcpus: Number(form.get("vcpus")), memory_mb: Number(form.get("memory_mb")) };
  for (const name of ["template", "host"]) if (form.get(name)) body[name] = form.get(name);
  if (form.get("disk_gb")) body.storage_config = { disk_size_gb: Number(form.get("disk_gb")) };
  if (form.get("ttl_hours")) body.ttl_seconds = Math.round(3600 * Number(form.get("ttl_hours")));
  const require = form.get("require").split(/[\s,]+/).filter(Boolean);
  if (require.length) body.placement = { require };
  return body;
}

export function Create() {
  const { value: images } = useLoaded(() => all("/images", "images"), []);
  const { value: hosts } = useLoaded(() => all("/hosts", "hosts"), []);
  const form = useRef(null);
  const [round, setRound] = useState(0);
  const { act, busy, problem } = useAction();
  const submit = (event) => {
    event.preventDefault();
    const body = wanted(new FormData(event.target));
    const starts = new FormData(event.target).get("start");
    act(async (say) => {
      const tell = (operation) => say(operation.progress?.step ?? operation.state);
      await change("POST", "/vms", body, tell);
      if (starts) await change("POST", `/vms/${encodeURIComponent(body.name)}/start`, undefined, tell);
      location.hash = `#/vm/${encodeURIComponent(body.name)}`;
    }, "creating …");
  };
  return html`<h1>New VM</h1><div class="columns"><form class="sheet card" ref=${form} onSubmit=${submit} onInput=${() => setRound((before) => before + 1)}>
    <${Field} label="Name" name="name" required pattern="[A-Za-z0-9][A-Za-z0-9._\\-]{0,62}" autofocus autocomplete="off" help="Letters, digits, '.', '_' and '-'." />
    <${Choice} label="Image" name="template" options=${[["", "default image"], ...(images ?? []).map((image) => [image.name])]} />
    <div class="pair"><${Field} label="vCPUs" name="vcpus" type="number" min="1" value="1" required />
    <${Field} label="Memory, MB" name="memory_mb" type="number" min="128" step="128" value="512" required />
    <${Field} label="Disk, GB" name="disk_gb" type="number" min="1" /></div>
    <p class="help">Without a disk size it is the default, or what the image needs if that is more.</p>
    <${Choice} label="Host" name="host" options=${[["", "any host"], ...(hosts ?? []).map((host) => [host.name])]} />
    <${Field} label="Labels that the host must have" name="require" autocomplete="off" placeholder="zone=a, !old" />
    <${Field} label="Time to live, in hours" name="ttl_hours" type="number" min="0.1" step="0.1" help="Empty: it is not deleted automatically." />
    <label class="check"><input type="checkbox" name="start" checked /> Start it</label>
    <${Problem} error=${problem} />
    <p class="line"><button class="primary" disabled=${busy}>Create</button><a href="#/vms">Back</a><span role="status">${busy}</span></p></form>
    <${Placement} form=${form} round=${round} /></div>`;
}

function Placement({ form, round }) {
  const [told, set] = useState({});
  useEffect(() => {
    let current = true;
    const timer = setTimeout(async () => {
      const { name, ...body } = wanted(new FormData(form.current));
      try {
        const found = await send("POST", "/placements?limit=100", body);
        if (current) set({ found });
      } catch (error) {
        if (current) set({ error });
      }
    }, round ? PAUSE : 0);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [round]);
  const { found, error } = told;
  const best = found?.placements.find((each) => each.fits);
  return html`<section class="card placement" aria-live="polite"><h2>Where it would be placed</h2><${Problem} error=${error} />
    ${found && html`<p>${best ? html`On <strong>${best.host}</strong>, with ${best.hypervisor}.` : "No host can take it."}</p>
      <ul>${found.placements.slice(0, SHOWN).map((each) => html`<li key=${each.host}><strong>${each.host}</strong> <${Status} of=${each.fits ? "fits" : "does not fit"} />
        <small>${each.fits ? `${each.free.vcpus} vCPUs, ${gigabytes(each.free.memory_mb)}, ${each.free.disk_gb} GB of disk free` : each.reasons.map((reason) => reason.message).join("; ")}</small></li>`)}</ul>
      ${found.total > SHOWN && html`<p class="empty">and ${found.total - SHOWN} more hosts</p>`}`}</section>`;
}

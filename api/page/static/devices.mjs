// A VM's disks, network adapters and port forwards.

import { html } from "./vendor/preact-htm.mjs";
import { all } from "./api.mjs";
import { agreed, Choice, Field, Problem, Status, Table, useLoaded } from "./parts.mjs";

export function Devices({ path, beat, act, busy }) {
  const { value: disks, error } = useLoaded(() => all(`${path}/disks`, "disks"), [beat]);
  const { value: adapters, error: second } = useLoaded(() => all(`${path}/network-adapters`, "network_adapters"), [beat]);
  const { value: forwards, error: third } = useLoaded(() => all(`${path}/network/port-forwards`, "port_forwards"), [beat]);
  const forward = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const host = form.get("host_port");
    act("POST", "/network/port-forward", { guest_port: Number(form.get("port")), protocol: form.get("protocol"), ...(host && { host_port: Number(host) }) });
    event.target.reset();
  };
  const attach = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const controller = disks?.[0]?.controller ?? "virtio";
    const port = 1 + Math.max(-1, ...(disks ?? []).filter((disk) => disk.controller === controller).map((disk) => disk.port));
    act("POST", "/disks", { controller, port, medium: form.get("medium"), size_gb: Number(form.get("size_gb")), create_if_missing: true });
    event.target.reset();
  };
  const detach = async (disk) => (await agreed(`Detach ${disk.medium}? Its contents stay.`, "Detach")) && act("DELETE", `/disks/${disk.id}`);
  return html`<${Problem} error=${error ?? second ?? third} /><h2>Disks</h2>
    <form class="tools" onSubmit=${attach}><${Field} label="Name of a new disk" name="medium" required autocomplete="off" /><${Field} label="Size, GB" name="size_gb" type="number" min="1" value="1" required /><button disabled=${busy}>Attach</button></form>
    ${!error && html`<${Table} label="Disks" rows=${disks?.map((disk) => ({ ...disk, id: `${disk.controller}/${disk.port}/${disk.device}` }))} empty="None." columns=${[
      ["Place", (disk) => disk.id], ["Type", (disk) => disk.type], ["Size", (disk) => `${disk.size_gb} GB`], ["Used", (disk) => (disk.used_gb == null ? "–" : `${disk.used_gb} GB`)], ["Format", (disk) => disk.format], ["Medium", (disk) => html`<code>${disk.medium}</code>`],
      ["", (disk) => (disk.own ? "" : html`<button class="danger" disabled=${busy} onClick=${() => detach(disk)} aria-label=${`Detach ${disk.medium}`}>detach</button>`)],
    ]} />`}
    <h2>Network adapters</h2>
    ${!second && html`<${Table} label="Network adapters" rows=${adapters?.map((each) => ({ ...each, id: each.slot }))} empty="None." columns=${[
      ["Slot", (each) => each.slot], ["Mode", (each) => each.mode], ["Type", (each) => each.type], ["Cable", (each) => html`<${Status} of=${each.cable_connected ? "connected" : "out"} />`], ["MAC", (each) => html`<code>${each.mac_address}</code>`],
      ["", (each) => html`<button disabled=${busy} onClick=${() => act("PUT", `/network-adapters/${each.slot}`, { cable_connected: !each.cable_connected })} aria-label=${`${each.cable_connected ? "pull cable" : "plug cable in"}, slot ${each.slot}`}>${each.cable_connected ? "pull cable" : "plug cable in"}</button>`],
    ]} />`}
    <h2>Port forwards</h2>
    <form class="tools" onSubmit=${forward}><${Field} label="Port of the guest" name="port" type="number" min="1" max="65535" required /><${Field} label="Port of the host" name="host_port" type="number" min="1" max="65535" placeholder="any" />
      <${Choice} label="Protocol" name="protocol" options=${[["tcp"], ["udp"]]} /><button disabled=${busy}>Forward</button></form>
    ${!third && html`<${Table} label="Port forwards" rows=${forwards} empty="None. A forward makes a port of the guest reachable at its host." columns=${[
      ["From", (each) => html`<code>${each.host_address}:${each.host_port}</code>`], ["To", (each) => `${each.guest_port}/${each.protocol}`],
      ["", (each) => html`<button class="danger" disabled=${busy} onClick=${() => act("DELETE", `/network/port-forwards/${each.id}`)} aria-label=${`Remove the forward from ${each.host_port}`}>remove</button>`],
    ]} />`}`;
}

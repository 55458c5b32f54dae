// Who may speak to the fleet, who is told, and what was done: keys, users, webhooks and the audit log.

import { html, useState } from "./vendor/preact-htm.mjs";
import { all, send } from "./api.mjs";
import { Pages } from "./fleet.mjs";
import { Age, agreed, Choice, Field, Moment, Problem, Secret, Status, Table, useAction, useLoaded } from "./parts.mjs";

// A list that is loaded anew after each change of ours.
function useList(load) {
  const [round, setRound] = useState(0);
  const { value, error } = useLoaded(load, [round]);
  const { act, busy, problem } = useAction();
  const alter = (work) => act(async () => {
    await work();
    setRound((before) => before + 1);
  });
  return { value, alter, busy, failure: problem ?? error, refused: error };
}

export function Keys() {
  const { value: keys, alter, busy, failure, refused } = useList(() => all("/keys", "keys"));
  const [secret, setSecret] = useState(null);
  const make = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const until = form.get("expires");
    const body = { name: form.get("name"), access: form.get("access"), ...(until && { expires_at: `${until}T23:59:59Z` }) };
    alter(async () => {
      setSecret((await send("POST", "/keys", body)).key);
      event.target.reset();
    });
  };
  const revoke = async (key) => (await agreed(`Revoke ${key.name}? Programs that use it are refused from then on.`, "Revoke")) && alter(() => send("DELETE", `/keys/${key.id}`));
  return html`<h1>API keys</h1>
    <form class="tools" onSubmit=${make}><${Field} label="Name" name="name" required autocomplete="off" /><${Choice} label="Access" name="access" options=${[["full"], ["read"]]} />
      <${Field} label="Expires" name="expires" type="date" /><button class="primary" disabled=${busy}>Create key</button></form>
    <${Secret} what="The new key" of=${secret} /><${Problem} error=${failure} />
    ${!refused && html`<${Table} label="API keys" rows=${keys} empty="No keys yet. A key is for programs, and for the command line." columns=${[
      ["Name", (each) => each.name], ["Begins with", (each) => html`<code>${each.prefix}</code>`], ["Access", (each) => each.access], ["Created", (each) => html`<${Age} at=${each.created_at} />`],
      ["Expires", (each) => (each.expires_at ? html`<${Moment} at=${each.expires_at} />` : "never")],
      ["", (each) => (each.revoked_at ? html`<${Status} of="revoked" />` : html`<button class="danger" onClick=${() => revoke(each)} aria-label=${`Revoke ${each.name}`}>revoke</button>`)],
    ]} />`}`;
}

export function Users() {
  const { value: users, alter, busy, failure, refused } = useList(() => all("/users", "users"));
  const register = (event) => {
    event.preventDefault();
    const body = Object.fromEntries(new FormData(event.target));
    alter(() => send("POST", "/auth/register", body).then(() => event.target.reset()));
  };
  const set = (user, verb) => alter(() => send("POST", `/users/${encodeURIComponent(user.username)}/${verb}`));
  const disable = async (user) => (await agreed(`Disable ${user.username}? All their credentials are refused; their VMs keep running.`, "Disable")) && set(user, "disable");
  const revoke = async (user) => (await agreed(`Revoke all tokens of ${user.username}? They must log in again; API keys stay.`, "Revoke")) && set(user, "revoke-tokens");
  return html`<h1>Users</h1><${Problem} error=${failure} />
    ${!refused && html`<form class="tools" onSubmit=${register}><${Field} label="Name" name="username" required autocomplete="off" /><${Field} label="Password" name="password" type="password" required autocomplete="new-password" />
      <${Choice} label="Role" name="role" options=${[["user"], ["admin"]]} /><button class="primary" disabled=${busy}>Register</button></form>
    <${Table} label="Users" rows=${users?.map((each) => ({ ...each, id: each.user_id }))} empty="No users." columns=${[
      ["Name", (each) => each.username], ["Role", (each) => each.role], ["State", (each) => html`<${Status} of=${each.disabled_at ? "disabled" : "enabled"} />`], ["Registered", (each) => html`<${Age} at=${each.created_at} />`],
      ["", (each) => html`<button onClick=${() => revoke(each)} aria-label=${`Revoke tokens of ${each.username}`}>revoke tokens</button> ${each.disabled_at ? html`<button onClick=${() => set(each, "enable")} aria-label=${`Enable ${each.username}`}>enable</button>`
        : html`<button class="danger" onClick=${() => disable(each)} aria-label=${`Disable ${each.username}`}>disable</button>`}`],
    ]} />`}`;
}

export function Webhooks() {
  const { value: hooks, alter, busy, failure, refused } = useList(() => all("/webhooks", "webhooks"));
  const [secret, setSecret] = useState(null);
  const [open, setOpen] = useState(null);
  const make = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const types = form.get("types").split(/[\s,]+/).filter(Boolean);
    alter(async () => {
      setSecret((await send("POST", "/webhooks", { url: form.get("url"), ...(types.length && { types }) })).secret);
      event.target.reset();
    });
  };
  const remove = async (hook) => (await agreed(`Delete the webhook to ${hook.url}?`, "Delete")) && alter(() => send("DELETE", `/webhooks/${hook.id}`));
  return html`<h1>Webhooks</h1>
    <form class="tools" onSubmit=${make}><${Field} label="URL" name="url" type="url" required placeholder="https://ci.example.org/corral" /><${Field} label="Types of events" name="types" autocomplete="off" placeholder="all" /><button class="primary" disabled=${busy}>Create webhook</button></form>
    <${Secret} what="The new webhook's secret" of=${secret} /><${Problem} error=${failure} />
    ${!refused && html`<${Table} label="Webhooks" rows=${hooks} empty="No webhooks yet. One is told of your events by HTTP." columns=${[
      ["URL", (each) => each.url], ["Events", (each) => each.types.join(", ") || "all"],
      ["State", (each) => html`<${Status} of=${each.enabled ? "enabled" : "disabled"} /> <small>${each.disabled_reason}</small>`], ["Failing since", (each) => html`<${Age} at=${each.failing_since} />`],
      ["", (each) => html`<button aria-expanded=${open === each.id} onClick=${() => setOpen(open === each.id ? null : each.id)} aria-label=${`Deliveries to ${each.url}`}>deliveries</button>
        <button onClick=${() => alter(() => send("POST", `/webhooks/${each.id}/test`))} aria-label=${`Test ${each.url}`}>test</button>
        <button onClick=${() => alter(() => send("PATCH", `/webhooks/${each.id}`, { enabled: !each.enabled }))} aria-label=${`${each.enabled ? "Disable" : "Enable"} ${each.url}`}>${each.enabled ? "disable" : "enable"}</button>
        <button class="danger" onClick=${() => remove(each)} aria-label=${`Delete ${each.url}`}>delete</button>`],
    ]} />`}
    ${open && html`<${Deliveries} key=${open} of=${open} />`}`;
}

function Deliveries({ of }) {
  const { value, alter, failure, refused } = useList(() => send("GET", `/webhooks/${of}/deliveries?limit=50`));
  return html`<h2>Deliveries</h2><p class="line"><button onClick=${() => alter(async () => {})}>Load again</button></p><${Problem} error=${failure} />
    ${!refused && html`<${Table} label="Deliveries" rows=${value?.deliveries} empty="Nothing was delivered yet." columns=${[
      ["Type", (each) => each.type], ["State", (each) => html`<${Status} of=${each.state} />`], ["Attempts", (each) => each.attempts], ["Answer", (each) => each.last_status ?? "–"],
      ["Problem", (each) => each.last_error], ["Created", (each) => html`<${Age} at=${each.created_at} />`],
      ["", (each) => html`<button onClick=${() => alter(() => send("POST", `/webhooks/${of}/deliveries/${each.id}/resend`))} aria-label=${`send again: ${each.type}`}>send again</button>`],
    ]} />`}`;
}

const FILTERS = [["action_type", "Action"], ["resource_type", "Resource"], ["user_id", "User's id"]];

export function Audit() {
  const [filters, setFilters] = useState({});
  const [offset, setOffset] = useState(0);
  const query = Object.entries(filters).filter(([, value]) => value).map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join("");
  const { value, error } = useLoaded(() => send("GET", `/security/audit-logs?limit=100&offset=${offset}${query}`), [query, offset]);
  const submit = (event) => {
    event.preventDefault();
    setOffset(0);
    setFilters(Object.fromEntries(new FormData(event.target)));
  };
  return html`<h1>Audit log</h1>
    <form class="tools" onSubmit=${submit}>${FILTERS.map(([name, label]) => html`<${Field} label=${label} name=${name} autocomplete="off" />`)}<button>Filter</button><${Pages} value=${value} offset=${offset} go=${setOffset} /></form>
    <${Problem} error=${error} />
    ${!error && html`<${Table} label="Audit log" rows=${value?.logs} empty=${query ? "Nothing matches the filter." : "Nothing yet."} columns=${[
      ["At", (each) => html`<${Moment} at=${each.timestamp} />`], ["Action", (each) => each.action_type], ["Result", (each) => html`<${Status} of=${each.result} /> <small>${each.error_code}</small>`],
      ["Of", (each) => `${each.resource_type} ${each.resource_id ?? ""}`], ["User", (each) => each.username ?? each.user_id ?? "–"], ["From", (each) => each.source_ip ?? "–"],
    ]} />`}`;
}

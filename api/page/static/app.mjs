// The page: who is logged in, which view the address names, and whether the fleet is heard.

import { html, render, useEffect, useState } from "./vendor/preact-htm.mjs";
import { forget, login } from "./api.mjs";
import { Audit, Keys, Users, Webhooks } from "./access.mjs";
import { Create } from "./create.mjs";
import { Fleet, Images, Operations } from "./fleet.mjs";
import { follow } from "./heard.mjs";
import { Field, Problem, Questions, useAction } from "./parts.mjs";
import { start, stop } from "./store.mjs";
import { OneVm } from "./vm.mjs";
import { Vms } from "./vms.mjs";

const VIEWS = { vms: Vms, fleet: Fleet, operations: Operations, images: Images, keys: Keys, users: Users, webhooks: Webhooks, audit: Audit };
const LABELS = { vms: "VMs", fleet: "Fleet", operations: "Operations", images: "Images", keys: "Keys", users: "Users", webhooks: "Webhooks", audit: "Audit" };
const WITHIN = { vm: "vms", create: "vms" };

function Login({ done }) {
  const { act, busy, problem } = useAction();
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const name = form.get("username");
    act(async () => {
      await login(name, form.get("secret"));
      done({ name: name || "API key" });
    });
  };
  return html`<main class="login"><form class="card" onSubmit=${submit}><h1>Corral</h1>
    <${Field} label="User" name="username" autocomplete="username" autofocus help="Empty: log in with an API key." />
    <${Field} label="Password or API key" name="secret" type="password" autocomplete="current-password" required />
    <${Problem} error=${problem} /><button class="primary" disabled=${busy}>Log in</button>
  </form><p><a href="/docs">API documents</a></p></main>`;
}

function useAddress() {
  const [address, set] = useState(location.hash.slice(2));
  useEffect(() => {
    const changed = () => set(location.hash.slice(2));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return address || "vms";
}

function Main({ who, leave }) {
  const [view, name, tab] = useAddress().split("/").map(decodeURIComponent);
  const [live, setLive] = useState(null);
  useEffect(() => follow(setLive), []);
  const View = { ...VIEWS, vm: OneVm, create: Create }[view] ?? Vms;
  const place = WITHIN[view] ?? view;
  useEffect(() => {
    document.title = `${name ?? LABELS[place] ?? "VMs"} – Corral`;
  }, [place, name]);
  return html`<a class="skip" href="#content" onClick=${(event) => { event.preventDefault(); document.getElementById("content").focus(); }}>Skip to the content</a>
    <header>
      <strong>Corral</strong>
      <nav aria-label="Views">${Object.entries(LABELS).map(([each, label]) => html`<a href="#/${each}" aria-current=${place === each ? "page" : null}>${label}</a>`)}</nav>
      <span class="live ${live === false ? "off" : "on"}" role="status">${live === false ? "reconnecting …" : "live"}</span>
      <button onClick=${leave} title="Forget the token">Log out ${who.name}</button>
    </header>
    <main id="content" tabindex="-1"><${View} key=${`${view}/${name}`} name=${name} tab=${tab} /></main><${Questions} />`;
}

function App() {
  const [who, setWho] = useState(null);
  const enter = (known) => {
    start();
    setWho(known);
  };
  const leave = () => {
    forget();
    stop();
    setWho(null);
  };
  return who ? html`<${Main} who=${who} leave=${leave} />` : html`<${Login} done=${enter} />`;
}

render(html`<${App} />`, document.getElementById("app"));

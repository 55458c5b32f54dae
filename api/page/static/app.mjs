// The page: who is logged in, which view the address names, and what is heard meanwhile.

import { html, render, useEffect, useMemo, useState } from "./vendor/preact-htm.mjs";
import { events, forget, login } from "./api.mjs";
import { Field, Problem } from "./parts.mjs";
import { Audit, Fleet, Images, Keys, Operations } from "./fleet.mjs";
import { Create, Vms } from "./vms.mjs";
import { OneVm } from "./vm.mjs";

const VIEWS = [["vms", "VMs"], ["fleet", "Fleet"], ["operations", "Operations"], ["images", "Images"], ["keys", "Keys"], ["audit", "Audit"]];

function Login({ done }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    setBusy(true);
    try {
      done({ name: form.get("username") || "API key", status: await login(form.get("username"), form.get("secret")) });
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return html`<main class="login"><h1>Corral</h1><form onSubmit=${submit}>
    <${Field} label="User" name="username" autocomplete="username" autofocus help="Empty: log in with an API key." />
    <${Field} label="Password or API key" name="secret" type="password" autocomplete="current-password" required />
    <${Problem} error=${error} /><button class="primary" disabled=${busy}>Log in</button>
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

// Counts up, at most twice a second, when something happened: views load anew then. The last events are kept for them.
function useEvents() {
  const [heard, setHeard] = useState([]);
  const [count, setCount] = useState(0);
  const [live, setLive] = useState(true);
  useEffect(() => {
    let timer = null;
    return events((event) => {
      setHeard((before) => [event, ...before].slice(0, 200));
      timer ??= setTimeout(() => {
        timer = null;
        setCount((before) => before + 1);
      }, 500);
    }, setLive);
  }, []);
  return { heard, count, live };
}

function Main({ who, leave }) {
  const address = useAddress();
  const { heard, count, live } = useEvents();
  const [view, ...rest] = address.split("/").map(decodeURIComponent);
  const shown = useMemo(() => ({ vms: Vms, vm: OneVm, create: Create, fleet: Fleet, operations: Operations, images: Images, keys: Keys, audit: Audit }), []);
  const View = shown[view] ?? Vms;
  return html`<header>
      <strong>Corral</strong>
      <nav aria-label="Views">${VIEWS.map(([name, label]) => html`<a href="#/${name}" aria-current=${view === name ? "page" : null}>${label}</a>`)}</nav>
      <span class="live ${live ? "on" : "off"}" role="status">${live ? "live" : "reconnecting …"}</span>
      <button onClick=${leave} title="Forget the token">Log out ${who.name}</button>
    </header>
    <main><${View} key=${address} name=${rest[0]} tab=${rest[1]} count=${count} heard=${heard} /></main>`;
}

function App() {
  const [who, setWho] = useState(null);
  const leave = () => {
    forget();
    setWho(null);
  };
  return who ? html`<${Main} who=${who} leave=${leave} />` : html`<${Login} done=${setWho} />`;
}

render(html`<${App} />`, document.getElementById("app"));

// A VM's files: looked at, fetched and sent.

import { html, useState } from "./vendor/preact-htm.mjs";
import { file, send, upload } from "./api.mjs";
import { Age, bytes, Problem, Progress, Table, useAction, useLoaded } from "./parts.mjs";

const PAGE = 200;

export function Files({ path }) {
  const [folder, setFolder] = useState("/");
  const [round, setRound] = useState(0);
  const [sent, setSent] = useState(null);
  const { act, busy, problem } = useAction();
  const { value: listing, error } = useLoaded(() => send("GET", `${path}/files?path=${encodeURIComponent(folder)}`), [folder, round]);
  const fetchFile = (entry) => act(async () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await file(`${path}/files/download?path=${encodeURIComponent(entry.path)}`));
    link.download = entry.name;
    link.click();
    URL.revokeObjectURL(link.href);
  }, "fetching …");
  const send_ = (event) => act(async () => {
    for (const each of event.target.files) {
      const form = new FormData();
      form.append("path", `${folder.replace(/\/$/, "")}/${each.name}`);
      form.append("file", each);
      setSent({ name: each.name, share: 0 });
      await upload(`${path}/files/upload`, form, (share) => setSent({ name: each.name, share }));
    }
    event.target.value = "";
    setRound((before) => before + 1);
  }, "sending …").then(() => setSent(null));
  const parts = folder.split("/").filter(Boolean);
  return html`<div class="tools"><nav class="path" aria-label="Folder"><button class="link" onClick=${() => setFolder("/")}>/</button>
        ${parts.map((part, at) => html`<button class="link" onClick=${() => setFolder(`/${parts.slice(0, at + 1).join("/")}`)}>${part}</button>${at < parts.length - 1 ? "/" : ""}`)}</nav>
      <label class="button">Upload …<input type="file" multiple class="unseen" aria-label=${`Upload files to ${folder}`} disabled=${busy} onChange=${send_} /></label></div>
    ${sent ? html`<p class="line"><${Progress} share=${sent.share} label=${`Upload of ${sent.name}`} /> <span role="status">${sent.name}, ${Math.round(sent.share * 100)} %</span></p>` : html`<p role="status">${busy}</p>`}
    <${Problem} error=${problem ?? error} />
    ${!error && html`<${Table} label="Files" empty="The folder is empty." rows=${listing?.files.slice(0, PAGE).map((entry) => ({ ...entry, id: entry.path }))} columns=${[
      ["Name", (entry) => html`<button class="link" onClick=${() => (entry.is_directory ? setFolder(entry.path) : fetchFile(entry))}>${entry.name}${entry.is_directory ? "/" : ""}</button>`],
      ["Size", (entry) => (entry.is_directory ? "" : bytes(entry.size_bytes))],
      ["Mode", (entry) => html`<code>${entry.permissions}</code>`],
      ["Modified", (entry) => html`<${Age} at=${entry.modified_at} />`],
    ]} />`}
    ${listing && listing.files.length > PAGE && html`<p class="empty">The first ${PAGE} of ${listing.total} are shown. corral vm files lists them all.</p>`}`;
}

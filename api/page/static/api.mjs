// The API, as this page speaks to it: one token in memory, errors as sentences, and events that go on by themselves.

const PREFIX = "/api/v1";
let token = "";

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export function forget() {
  token = "";
}

// With a name and a password, or with an API key alone.
export async function login(username, secret) {
  if (username) {
    token = "";
    token = (await send("POST", "/auth/login", { username, password: secret })).access_token;
  } else {
    token = secret;
  }
  return send("GET", "/status");
}

export async function send(method, path, body, more = {}) {
  const answer = await request(method, path, body, more);
  return answer.status === 204 ? null : answer.json();
}

// A caller with too many requests is told when to come again: that is done here, twice at most.
async function request(method, path, body, more = {}, tries = 3) {
  const headers = { ...more };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["Idempotency-Key"] ??= newKey();
  let answer;
  try {
    answer = await fetch(PREFIX + path, { method, headers, body: JSON.stringify(body) });
  } catch {
    throw new ApiError("The server does not answer.", 0);
  }
  if (answer.ok) return answer;
  const after = Number(answer.headers.get("Retry-After"));
  if (answer.status === 429 && tries > 1 && after > 0) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(after, 60) * 1000));
    return request(method, path, body, headers, tries - 1);
  }
  throw refusal(await answer.text(), answer.status, answer.statusText);
}

function refusal(text, status, otherwise) {
  let told = {};
  try {
    told = JSON.parse(text);
  } catch {
    // not ours: the status has to do
  }
  const fields = Array.isArray(told.details) ? told.details.map((each) => `${each.field} ${each.error}`) : [];
  return new ApiError([told.message ?? otherwise, ...fields].join("; "), status);
}

// Sends a form with files; `tell(share)` hears how much was sent, from 0 to 1.
export function upload(path, form, tell) {
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    sent.open("POST", PREFIX + path);
    sent.setRequestHeader("Authorization", `Bearer ${token}`);
    sent.setRequestHeader("Idempotency-Key", newKey());
    sent.upload.onprogress = (event) => event.lengthComputable && tell(event.loaded / event.total);
    sent.onload = () => (sent.status < 300 ? resolve() : reject(refusal(sent.responseText, sent.status, sent.statusText)));
    sent.onerror = () => reject(new ApiError("The connection was lost during the upload.", 0));
    sent.send(form);
  });
}

// `crypto.randomUUID` is there on secure addresses alone.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Begins a change, and resolves with the operation once it has ended; rejects with the reason when it has failed.
export async function change(method, path, body, tell = () => {}) {
  let operation = await send(method, path, body, { Prefer: "respond-async" });
  while (operation.state === "queued" || operation.state === "running") {
    tell(operation);
    operation = await send("GET", `/operations/${operation.id}/wait?timeout=20`);
  }
  if (operation.state !== "succeeded") throw new ApiError(operation.error?.message ?? operation.state, 409);
  return operation;
}

// All items of a list, a page a request; of one that is asked for with a body, by POST.
export async function all(path, noun, body) {
  const items = [];
  for (;;) {
    const page = await send(body ? "POST" : "GET", `${path}?limit=100&offset=${items.length}`, body);
    items.push(...page[noun]);
    if (items.length >= page.total || !page[noun].length) return items;
  }
}

export async function file(path) {
  return (await request("GET", path)).blob();
}

// A socket that says who calls with its first message; `ready` once that was accepted.
export function socket(path, { ready = () => {}, message, closed = () => {} }) {
  const address = location.origin.replace(/^http/, "ws") + PREFIX + path;
  const made = new WebSocket(address);
  made.binaryType = "arraybuffer";
  let known = false;
  made.onopen = () => made.send(JSON.stringify({ type: "auth", token }));
  made.onmessage = ({ data }) => {
    if (!known && typeof data === "string" && JSON.parse(data).type === "authenticated") {
      known = true;
      ready(made);
    } else {
      message(data);
    }
  };
  made.onclose = closed;
  return made;
}

// Calls `hear(event)` for whatever happens from the event `after` on, or from now; a connection that breaks is made anew, and
// nothing is missed.
export function events(hear, { live = () => {}, path = "/system/events", after = null } = {}) {
  let ended = false;
  let current = null;
  const open = () => {
    if (ended) return;
    current = socket(after === null ? path : `${path}?after=${after}`, {
      ready: () => live(true),
      message: (data) => {
        const event = JSON.parse(data);
        after = event.seq;
        hear(event);
      },
      closed: () => {
        if (ended) return;
        live(false);
        setTimeout(open, 1000 + Math.random() * 2000);
      },
    });
  };
  open();
  return () => {
    ended = true;
    current?.close();
  };
}

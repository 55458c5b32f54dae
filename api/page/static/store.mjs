// All VMs that the caller may see: listed once, a thousand an answer, and from then on changed by what is heard.

import { useEffect, useState } from "./vendor/preact-htm.mjs";
import { send } from "./api.mjs";
import { listen } from "./heard.mjs";

const SIZE = 1000;
const SOON = 500; // milliseconds
let vms = new Map();
let state = null;
let silent = () => {};
const watchers = new Set();

export function start() {
  vms = new Map();
  state = { begun: false, complete: false, error: null, version: 0, tail: null };
  silent = listen(hear);
}

export function stop() {
  silent();
}

// The VMs, in no order; whether they are all there; and a number that grows with each change.
export function useVms() {
  const [, set] = useState(0);
  useEffect(() => {
    watchers.add(set);
    if (!state.begun) list();
    return () => watchers.delete(set);
  }, []);
  return { vms, ...state };
}

async function list() {
  state.begun = true;
  const mine = state;
  try {
    await more(null, mine);
    mine.complete = true;
    mine.error = null;
  } catch (error) {
    mine.begun = false;
    mine.error = error;
  }
  tell();
}

async function more(after, mine) {
  for (let cursor = after; ; ) {
    const part = await send("GET", `/vm-list?limit=${SIZE}${cursor ? `&after=${cursor}` : ""}`);
    if (mine !== state) return;
    mine.tail = cursor;
    part.vms.forEach(put);
    tell();
    if (part.next === null) return;
    cursor = part.next;
  }
}

// What filters look at is made once for each change of a VM.
function put(vm) {
  vm.text = `${vm.name} ${vm.status} ${vm.host} ${vm.hypervisor} ${vm.network_config.ip}`.toLowerCase();
  vms.set(vm.id, vm);
}

let timer = null;

function tell() {
  state.version += 1;
  timer ??= setTimeout(() => {
    timer = null;
    watchers.forEach((set) => set(state.version));
  }, 50);
}

let missing = null;

function find() {
  missing = state.complete ? null : setTimeout(find, SOON);
  if (state.complete) more(state.tail, state).catch(() => {});
}

function hear(event) {
  if (!state.begun || !event.vm_id) return;
  const vm = vms.get(event.vm_id);
  if (event.event_type === "vm_deleted") {
    vms.delete(event.vm_id);
    tell();
  } else if (!vm) {
    // New ones come last, so that all of them are found with one request.
    missing ??= setTimeout(find, SOON);
  } else if (event.event_type === "status_change") {
    put({ ...vm, status: event.data.new_status });
    tell();
  } else if (event.event_type === "vm_made_elsewhere" || (event.event_type === "operation" && event.data.kind === "resize" && event.data.state === "succeeded")) {
    send("GET", `/vms/${event.vm_id}`).then((found) => {
      put(found);
      tell();
    }, () => {});
  }
}

// What is heard of the fleet, for all views: one socket, and views that load anew when something of theirs has happened.

import { useEffect, useRef, useState } from "./vendor/preact-htm.mjs";
import { events } from "./api.mjs";

const SOON = 250; // milliseconds
const LEAST = 3000; // between two loads of one view: callers have only so many requests a minute
const listeners = new Set();

// Until the returned function is called. `live(true)` once connected, `live(false)` when that is lost.
export function follow(live) {
  return events((event) => listeners.forEach((listener) => listener(event)), { live });
}

export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// A number that grows soon after an event of which `concerns(event)` holds.
export function useBeat(concerns) {
  const [beat, set] = useState(0);
  const asked = useRef(concerns);
  asked.current = concerns;
  useEffect(() => {
    let timer = null;
    let last = 0;
    const off = listen((event) => {
      if (timer !== null || !asked.current(event)) return;
      timer = setTimeout(() => {
        timer = null;
        last = Date.now();
        set((before) => before + 1);
      }, Math.max(SOON, last + LEAST - Date.now()));
    });
    return () => {
      off();
      clearTimeout(timer);
    };
  }, []);
  return beat;
}

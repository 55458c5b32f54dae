// A VM's serial console on the page.

import { html, useEffect, useRef, useState } from "./vendor/preact-htm.mjs";
import { FitAddon } from "./vendor/addon-fit.mjs";
import { Terminal } from "./vendor/xterm.mjs";
import { socket } from "./api.mjs";

const PAUSE = 1500;

export function Console({ path }) {
  const place = useRef(null);
  const [state, setState] = useState("connecting …");
  useEffect(() => {
    const terminal = new Terminal({ convertEol: false, cursorBlink: true, fontSize: 13, scrollback: 5000 });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    terminal.open(place.current);
    fit.fit();
    const resized = () => fit.fit();
    addEventListener("resize", resized);
    let line = null;
    let ended = false;
    let first = true;
    const typed = terminal.onData((text) => line?.readyState === WebSocket.OPEN && line.send(new TextEncoder().encode(text)));
    const open = () => {
      line = socket(`${path}/console?replay=${first}`, {
        ready: () => setState("connected"),
        message: (data) => {
          first = false;
          if (data instanceof ArrayBuffer) terminal.write(new Uint8Array(data));
        },
        closed: ({ code, reason }) => {
          if (ended) return;
          setState(reason || `closed (${code})`);
          if (code === 1006 || code === 1012 || code === 1013) setTimeout(() => !ended && open(), PAUSE);
        },
      });
    };
    open();
    terminal.focus();
    return () => {
      ended = true;
      removeEventListener("resize", resized);
      typed.dispose();
      line?.close();
      terminal.dispose();
    };
  }, [path]);
  return html`<p role="status"><small>${state}</small></p><div class="terminal" ref=${place}></div>`;
}

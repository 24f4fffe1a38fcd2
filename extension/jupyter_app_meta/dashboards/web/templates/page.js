// The first script of each page: it ends the page, reports a lost server or kernel, and reconnects or reloads.
//
// 1. It replaces WebSocket by a subclass that watches the sockets to the page's own kernel: that works with any template.
// 2. A page that lost its socket asks the server for its kernel. While the kernel exists, or no server answers, the page's
//    own client reconnects. After three answers in a row that the kernel is gone, the page asks for its own address until
//    it is there, and reloads, at most three times in five minutes. Only a visible page asks, so that hundreds of pages in
//    background tabs do not overload a server.
// 3. A page that the server ended on purpose (1000, 4403) stays as it is, says so, and leaves the reload to its visitor.
// 4. A message that is larger than the server accepts is not sent. The page gets a reply as if it had been, and goes on.
// 5. A page that breaks off before its end says so, and leaves the reload to its visitor.
// 6. A widget holds back its next change until the kernel is done with the last one. When the word of that was lost with
//    a socket, the page hears it on the next one.
// 7. An error of the page's own code that no output shows is reported here, with the id that its author finds in the log.
(() => {
  "use strict";
  const { upload: UPLOAD, message: LARGEST, beat: BEAT, tab: TELL, theme: THEME } = document.currentScript.dataset; // bytes: the limit that the page names, and that of a message; ms; a URL; "light", "dark" or nothing
  const CHANNELS = /^ws(s?:.*\/api\/kernels\/[\w-]+)\/channels(?:\?|$)/;
  const RELOADS = 3, WITHIN = 300_000; // at most 3 reloads within 300,000 ms
  const GIVEN_UP = 70_000; // ms without an attempt after which the page's own client has stopped reconnecting
  const SLOWEST = 30_000; // ms between two requests at most
  const ANSWER = 10_000; // ms after which a request counts as not answered

  const LOST = "Connection lost, reconnecting…";
  const ENDED = "This page has ended.";
  const EXPELLED = "An administrator has ended this page.";
  const BROKEN = "This page did not load completely.";
  const NOTES = {
    1007: "What this page sent could not be understood.",
    1008: "The server refused what this page sent.",
    1009: `What you sent is larger than this page accepts (${size(Number(UPLOAD))}).`,
    1013: "This page sent more than your connection could receive.",
  };

  // --- when a page ends -----------------------------------------------------------------------------------------------
  // Voila's script shuts its kernel down at beforeunload. Links to mail and downloads fire that event too, and mobile
  // browsers do not fire it, so the listener is moved to pagehide. A page that comes back from the browser's cache has no
  // kernel any more and is reloaded.

  const listen = window.addEventListener;
  window.addEventListener = function (type, listener, ...options) {
    const ends = type === "beforeunload" && String(listener).includes("voila/api/shutdown");
    return listen.call(this ?? window, ends ? "pagehide" : type, listener, ...options);
  };
  listen.call(window, "pageshow", (event) => event.persisted && location.reload());

  let leaving = false, ended = false, recovering = false;
  listen.call(window, "pagehide", () => { leaving = true; });

  // --- when a page does not load to its end -----------------------------------------------------------------------------
  // The server marks the end of a whole page, and sends a sign of life while a cell takes long. A response that breaks off
  // fires no event in Chromium, and the document stays "loading". So if nothing new has arrived, the page asks for its
  // kernel, or for its own address while the kernel is not known. It is over after two answers that nothing is there.

  const isWhole = () => document.getElementById("app-meta-end") !== null;
  document.addEventListener("DOMContentLoaded", () => (isWhole() ? bar.hide(BROKEN) : breakOff()));

  function breakOff() {
    bar.show(BROKEN, { reload: true, dismiss: true });
  }

  async function arrive() {
    let seen = 0, missed = 0;
    while (!(await pause(missed ? 1000 : Math.max(BEAT, 1000))) && document.readyState === "loading") {
      const size = document.getElementsByTagName("*").length;
      missed = size === seen && (await askForKernel()) !== "there" ? missed + 1 : 0;
      seen = size;
      if (missed === 2) return breakOff();
    }
  }

  async function askForKernel() {
    let known;
    try {
      known = JSON.parse(document.getElementById("jupyter-config-data").textContent);
    } catch {
      return ask(location.href, "HEAD");
    }
    return ask(`${known.baseUrl}api/kernels/${known.kernelId}`, "GET");
  }

  // --- the sockets of the page's kernel -------------------------------------------------------------------------------

  const Native = window.WebSocket;
  const open = new Set();
  let kernel = null; // its address
  let everOpen = false;
  let tried = 0; // when its client last tried to connect

  class Watched extends Native {
    constructor(...args) {
      super(...args);
      const found = CHANNELS.exec(this.url);
      if (found && (kernel ??= `http${found[1]}`) === `http${found[1]}`) watch(this);
    }

    send(data) {
      if (own.has(this) && length(data) > Number(LARGEST)) refuse(this, data);
      else {
        super.send(data);
        if (own.has(this)) note(this, data);
      }
    }
  }
  const own = new WeakSet();
  Object.defineProperty(Watched, "name", { value: "WebSocket" });
  window.WebSocket = Watched;

  function watch(socket) {
    own.add(socket);
    tried = Date.now();
    socket.addEventListener("open", () => {
      open.add(socket);
      everOpen = true;
      if (!ended) bar.hide(LOST);
    });
    socket.addEventListener("message", (event) => {
      if (String(event.data).startsWith("{\"do\":")) {
        event.stopImmediatePropagation(); // it is not for the page's own client
        return announce("do", JSON.parse(event.data).do);
      }
      const text = errorIn(event.data);
      if (text && !ended) bar.show(text, { dismiss: true, over: bar.text !== LOST });
      settle(socket, event.data);
      tell(stateIn(event.data));
    });
    socket.addEventListener("close", (event) => {
      open.delete(socket);
      tell("idle");
      if (leaving || ended || open.size) return;
      if (event.code === 1000) return end();
      if (event.code === 4403) return end(EXPELLED);
      if (NOTES[event.code]) bar.show(NOTES[event.code], { reload: event.code === 1013, dismiss: true });
      recover();
    });
  }

  // --- what the kernel is not done with ---------------------------------------------------------------------------------
  // A kernel does what its page sends in order. Once it is done with a message, it is done with those of earlier sockets.

  const waiting = new Map(); // by id: the header of a message to the kernel, and its socket

  function note(socket, data) {
    try {
      if (textOf(data, 0) === "shell") waiting.set(headerOf(data).msg_id, { header: headerOf(data), socket });
    } catch {
      // The frame has another form, which the page's own client does not use.
    }
  }

  function settle(socket, data) {
    const id = doneWith(data);
    if (!waiting.has(id)) return;
    for (const [earlier, from] of waiting) {
      if (earlier === id) break;
      if (from.socket !== socket) tellIdle(socket, from.header);
    }
    waiting.delete(id);
  }

  function tellIdle(socket, header) {
    waiting.delete(header.msg_id);
    socket.dispatchEvent(new MessageEvent("message", { data: idle(header) }));
  }

  // A browser that loses its network keeps its sockets open for a while.
  listen.call(window, "offline", () => everOpen && !ended && bar.show(LOST, { busy: true, over: false }));
  listen.call(window, "online", () => open.size && bar.hide(LOST));

  // --- coming back ----------------------------------------------------------------------------------------------------

  async function recover() {
    if (recovering) return;
    recovering = true;
    const began = Date.now();
    let gone = 0, wait = 400;
    while (!(await pause(wait)) && !open.size && !ended) {
      if (Date.now() - began > 600) bar.show(LOST, { busy: true, over: false });
      const found = await ask(kernel, "GET");
      if (open.size) break;
      gone = found === "gone" ? gone + 1 : 0;
      if (gone === 3 || (found === "there" && Date.now() - tried > GIVEN_UP)) await comeBack();
      wait = found === "away" ? Math.min(wait * 2, SLOWEST) : 500;
    }
    recovering = false;
  }

  async function comeBack() {
    if (!everOpen) return end();
    let wait = 500;
    while (!(await pause(wait)) && !open.size) {
      bar.show(LOST, { busy: true, over: false });
      const found = await ask(location.href, "HEAD");
      if (found === "gone") return end();
      if (found === "there") return mayReload() ? location.reload() : end();
      wait = Math.min(wait * 2, SLOWEST);
    }
  }

  function end(text = ENDED) {
    ended = true;
    bar.show(text, { reload: true });
  }

  // Whether the page may reload itself once more. The count is in the session's storage, which survives a reload.
  function mayReload() {
    const name = `app-meta-reloads ${location.pathname}`;
    try {
      const now = Date.now();
      const past = JSON.parse(sessionStorage.getItem(name) ?? "[]").filter((at) => now - at < WITHIN && at <= now);
      if (past.length >= RELOADS) return false;
      sessionStorage.setItem(name, JSON.stringify([...past, now]));
      return true;
    } catch {
      return false; // without storage the reloads could not be counted
    }
  }

  // Request an address: "there", "gone" (missing, or refused to this visitor) or "away" (no server answers). A proxy answers
  // 502 for the kernel of a server that has died; the page itself may be on another server.
  async function ask(address, method) {
    try {
      const options = { method, cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(ANSWER) };
      const answer = await fetch(address, options);
      if (answer.type === "opaqueredirect") return method === "HEAD" ? "there" : "gone"; // to a login, which a reload shows
      if (answer.ok) return "there";
      return [401, 403, 404, 410, method === "GET" && 502].includes(answer.status) ? "gone" : "away";
    } catch {
      return "away";
    }
  }

  // Wait for about this long, or until the network is back, and until the page is visible. Return whether the visitor leaves.
  async function pause(wait) {
    const over = new AbortController();
    await new Promise((done) => {
      setTimeout(done, wait * (0.5 + Math.random()));
      listen.call(window, "online", () => setTimeout(done, 1000 * Math.random()), { signal: over.signal });
    });
    over.abort();
    while (document.hidden && !leaving)
      await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
    return leaving;
  }

  // --- what is too large ----------------------------------------------------------------------------------------------

  function length(data) {
    return typeof data === "string" ? new Blob([data]).size : (data.byteLength ?? data.size ?? 0);
  }

  function size(bytes) {
    const [unit, name] = bytes >= 1 << 20 ? [1 << 20, "MB"] : [1 << 10, "kB"];
    return `${Math.round((10 * bytes) / unit) / 10} ${name}`;
  }

  function refuse(socket, data) {
    bar.show(NOTES[1009], { dismiss: true });
    try {
      socket.dispatchEvent(new MessageEvent("message", { data: idle(headerOf(data)) }));
    } catch {
      // The frame has another form, so its sender gets no reply; the rest of the page goes on.
    }
  }

  // Return the text of one part of a message in the binary form of kernel sockets: 64-bit offsets, the channel, header,
  // parent header, metadata and content.
  function textOf(data, number) {
    const view = ArrayBuffer.isView(data) ? new DataView(data.buffer, data.byteOffset, data.byteLength) : new DataView(data);
    const [start, stop] = [number + 1, number + 2].map((place) => Number(view.getBigUint64(8 * place, true)));
    return new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + start, stop - start));
  }

  const partOf = (data, number) => JSON.parse(textOf(data, number));
  const headerOf = (data) => partOf(data, 1);

  // Return the id of the message that a kernel says it is done with, or nothing.
  function doneWith(data) {
    try {
      const isIdle = headerOf(data).msg_type === "status" && partOf(data, 4).execution_state === "idle";
      return isIdle ? partOf(data, 2).msg_id : "";
    } catch {
      return ""; // the frame has another form, which the page's own client does not use
    }
  }

  // Return what a message says of the kernel ("busy" or "idle"), or nothing.
  function stateIn(data) {
    try {
      return headerOf(data).msg_type === "status" ? partOf(data, 4).execution_state : "";
    } catch {
      return ""; // as in errorIn
    }
  }

  // Tell the page's template whether the kernel is at work.
  function tell(state) {
    if (state) announce("kernel", state);
  }

  function announce(name, detail) {
    document.dispatchEvent(new CustomEvent(`app-meta:${name}`, { detail }));
  }

  // Return the text of the error that a message reports, or nothing.
  function errorIn(data) {
    try {
      if (headerOf(data).msg_type !== "error") return "";
      const { ename, evalue, traceback } = partOf(data, 4);
      return ename === "Error" && traceback.length === 1 ? traceback[0] : evalue;
    } catch {
      return ""; // the frame has another form, which the page's own client does not use
    }
  }

  // Return the status that a kernel sends after a message: widgets hold back their next change until it arrives.
  function idle(parent) {
    const header = { ...parent, msg_id: `${parent.msg_id}-refused`, msg_type: "status" };
    const texts = ["iopub", ...[header, parent, {}, { execution_state: "idle" }].map((part) => JSON.stringify(part))];
    const parts = texts.map((text) => new TextEncoder().encode(text));
    let place = 8 * (parts.length + 2);
    const offsets = [place, ...parts.map((part) => (place += part.length))];
    const frame = new Uint8Array(place), view = new DataView(frame.buffer);
    [offsets.length, ...offsets].forEach((number, index) => view.setBigUint64(8 * index, BigInt(number), true));
    parts.forEach((part, index) => frame.set(part, offsets[index]));
    return frame.buffer;
  }

  // (the other scripts stand here)

  arrive();
})();

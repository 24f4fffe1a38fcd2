// Which tab of the browser the page is in. The server hears it while the page's cells already run, so that the first of them
// finds what the tab remembers. It stands inside the function of page.js if the server keeps state.
//
// 1. The session's storage of a tab holds its id, over reloads and until the tab is closed.
// 2. A duplicated tab has a copy of the storage. Each tab holds its id as a lock, so the second one knows that the id is
//    taken: it takes a new one, and says of which tab it is a copy.
// 3. The server says in the script's element where it wants to hear it. What else the page says of its kernel stands below
//    style sheets, for which a browser waits.
// 4. What the page says of its browser comes with its tab, and again when it has changed.
// 5. Locks need https or localhost. Elsewhere a page asks the others whose tab it is.

const TAB = "app-meta-tab";
const SETTLED = 300; // ms in which a window keeps its size before the server is told
const LEAVING = 1000; // ms in which the page that was in this tab before gives up its id; on a busy machine it takes some hundred
const ANSWERING = 150; // ms in which another page answers whose an id is

async function tellTab() {
  const [tab, copy_of] = await takeTab();
  let said = "";
  const say = (more) => {
    const browser = describe(), text = JSON.stringify(browser);
    if (text !== said) post(TELL, { tab, ...more, browser });
    said = text;
  };
  say(copy_of ? { copy_of } : {});
  let later;
  const again = () => {
    clearTimeout(later);
    later = setTimeout(say, SETTLED);
  };
  listen.call(window, "resize", again);
  new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  document.addEventListener("DOMContentLoaded", again);
}

function post(address, body) {
  const token = /(?:^|; *)_xsrf=([^;]*)/.exec(document.cookie)?.[1] ?? "";
  const headers = { "Content-Type": "application/json", "X-XSRFToken": token };
  fetch(address, { method: "POST", headers, body: JSON.stringify(body) }).catch(() => {}); // without it the page works on
}

// When the first description is made, the page's theme is not applied yet, and a phone lays the page out as if it were wider.
// Intl takes longer in a new tab than all the rest of this script, and nothing is painted meanwhile.
function describe() {
  const fit = Math.min(1, screen.width / innerWidth), light = document.body?.dataset.jpThemeLight;
  let chosen;
  try {
    chosen = localStorage.getItem("app-meta-theme");
  } catch {
    // as below
  }
  return {
    timezone: window.Temporal?.Now.timeZoneId() ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    locale: navigator.language,
    theme: light ? (light === "true" ? "light" : "dark") : chosen || THEME ||
      (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"),
    viewport: [innerWidth, innerHeight].map((px) => Math.round(px * fit)),
  };
}

// Return the id of this tab, and that of the tab whose copy it is.
async function takeTab() {
  let known = null;
  try {
    known = sessionStorage.getItem(TAB);
  } catch {
    // The page is in a sandbox, so nothing outlives it.
  }
  if (/^[0-9a-f]{32}$/.test(known) && (await isFree(known))) return [known, null];
  const fresh = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  isFree(fresh);
  try {
    sessionStorage.setItem(TAB, fresh);
  } catch {
    // as above
  }
  return [fresh, known];
}

// Hold an id until the page ends. Return whether no other page holds it.
function isFree(id) {
  return navigator.locks ? isUnlocked(id) : isUnanswered(id);
}

function isUnlocked(id) {
  const hold = (done) => () => new Promise(() => done(true)); // a lock is held until its promise is settled
  return new Promise((done) => {
    navigator.locks.request(`${TAB} ${id}`, { signal: AbortSignal.timeout(LEAVING) }, hold(done)).catch(() => done(false));
  });
}

function isUnanswered(id) {
  const channel = new BroadcastChannel(`${TAB} ${id}`);
  return new Promise((done) => {
    channel.onmessage = ({ data }) => data === "mine" && done(false);
    setTimeout(() => done(true), ANSWERING);
    channel.postMessage("whose?");
  }).then((free) => {
    channel.onmessage = ({ data }) => free && data === "whose?" && channel.postMessage("mine");
    return free;
  });
}

tellTab();

// What the visitor sees: a bar at the lower edge of the page, with a text, a sign and buttons. It stands inside the
// function of page.js, where its name is `bar`.

const STYLE = `
  :host { all: initial; position: fixed; z-index: 2147483647; inset: auto 0 0 0; pointer-events: none;
    padding: 16px max(16px, env(safe-area-inset-right)) max(16px, env(safe-area-inset-bottom)) max(16px, env(safe-area-inset-left)); }
  @media print { :host { display: none; } }
  div { display: flex; align-items: center; gap: 12px; box-sizing: border-box; width: fit-content; max-width: 560px;
    min-height: 52px; margin: 0 auto; padding: 8px 8px 8px 16px; border: 1px solid var(--line); border-radius: 12px;
    background: var(--am-raised, #fff); color: var(--am-ink, #1c2530); box-shadow: 0 8px 28px #0003;
    --line: var(--am-edge, #848d97); --accent: var(--am-accent, #0b5fb8); --text: var(--am-on-accent, #fff); --wrong: var(--am-wrong, #b3261e); pointer-events: auto;
    font: 15px/1.4 var(--am-font, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif); }
  div.dark { background: var(--am-raised, #1b2129); color: var(--am-ink, #e7ebf0); box-shadow: 0 8px 24px #0009; --line: var(--am-edge, #7d8894);
    --accent: var(--am-accent, #79b8ff); --text: var(--am-on-accent, #0d1b2a); --wrong: var(--am-wrong, #ff9a91); }
  div[hidden] { display: none; }
  p { flex: 1; margin: 0; padding: 6px 0; text-wrap: pretty; }
  i { flex: none; width: 10px; height: 10px; border-radius: 50%; background: var(--wrong); }
  i.busy { background: none; border: 2px solid var(--accent); border-right-color: transparent; animation: turn 1s linear infinite; }
  @keyframes turn { to { rotate: 1turn; } }
  @media (prefers-reduced-motion: reduce) { i.busy { animation-duration: 6s; } }
  button { flex: none; min-height: 36px; margin: 0; padding: 0 16px; border: 0; border-radius: 8px; cursor: pointer;
    font: inherit; font-weight: 600; background: var(--accent); color: var(--text); }
  button:hover { filter: brightness(1.08); }
  button.quiet { min-width: 36px; padding: 0; background: none; color: inherit; font-weight: 400; font-size: 20px; }
  button.quiet:hover { background: #8c959f33; }
  button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
  button[hidden] { display: none; }`;

const bar = {
  // Show a text. Without "over" it does not replace a different text.
  show(text, { reload = false, dismiss = false, busy = false, over = true } = {}) {
    if (!over && this.text && this.text !== text) return;
    this.build();
    this.text = text;
    this.again.hidden = !reload;
    this.close.hidden = !dismiss;
    this.mark.className = busy ? "busy" : "";
    this.box.className = isDark() ? "dark" : "";
    this.box.hidden = false;
    if (this.words.textContent !== text) this.words.textContent = text;
  },

  // Hide this text, or by default the text that is shown.
  hide(text = this.text) {
    if (!this.box || this.text !== text) return;
    this.text = null;
    this.box.hidden = true;
    this.words.textContent = "";
  },

  // A shadow tree keeps the page's styles out. Screen readers need the alert element to exist before its text.
  build() {
    if (!this.host) {
      this.host = document.createElement("app-meta-banner");
      const root = this.host.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
      root.adoptedStyleSheets = [sheet];
      this.words = element("p", { role: "alert" });
      this.mark = element("i", { "aria-hidden": "true" });
      this.again = element("button", { type: "button" }, "Reload");
      this.close = element("button", { type: "button", class: "quiet", "aria-label": "Dismiss" }, "×");
      this.again.addEventListener("click", () => location.reload());
      this.close.addEventListener("click", () => this.hide());
      this.box = element("div", {});
      this.box.append(this.mark, this.words, this.again, this.close);
      root.append(this.box);
    }
    const place = document.body ?? document.documentElement;
    if (this.host.parentNode !== place) place.append(this.host);
  },
};

function element(name, attributes, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// Whether the page's background is dark; if the page paints none, the visitor's system decides.
function isDark() {
  for (const part of [document.body, document.documentElement]) {
    const [red, green, blue, alpha = 1] = part ? getComputedStyle(part).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [] : [];
    if (blue !== undefined && alpha > 0.5) return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

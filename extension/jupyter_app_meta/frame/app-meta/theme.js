// The theme of a page: the visitor's system decides, unless the deployer fixed it or the visitor chose one. It runs in
// the head, so that no page begins in the wrong colours.
(() => {
  "use strict";
  const root = document.documentElement, system = matchMedia("(prefers-color-scheme: dark)");
  const fixed = document.querySelector('meta[name="theme-fixed"]')?.content;
  const NAME = "app-meta-theme";

  function chosen() {
    try {
      return localStorage.getItem(NAME);
    } catch {
      return null; // without storage the choice lasts as long as the page
    }
  }

  let choice = chosen();

  function apply() {
    const wanted = choice || fixed;
    const dark = wanted === "dark" || (wanted !== "light" && system.matches);
    const theme = dark ? "dark" : "light";
    root.dataset.theme = theme;
    // Paper is light.
    const media = dark ? { light: "print", dark: "screen" } : { light: "all", dark: "not all" };
    for (const link of document.querySelectorAll("link[data-app-meta-theme]")) {
      link.media = media[link.dataset.appMetaTheme];
    }
    if (document.body) {
      document.body.dataset.jpThemeLight = String(!dark);
      document.body.dataset.jpThemeName = dark ? "JupyterLab Dark" : "JupyterLab Light";
      document.body.classList.toggle("theme-dark", dark);
      document.body.classList.toggle("theme-light", !dark);
    }
  }

  window.appMetaTheme = {
    apply,
    toggle() {
      choice = root.dataset.theme === "dark" ? "light" : "dark";
      try {
        localStorage.setItem(NAME, choice);
      } catch {
        // as above
      }
      apply();
    },
  };
  system.addEventListener("change", apply);
  apply();
  document.addEventListener("DOMContentLoaded", apply);
  document.addEventListener("click", ({ target }) => {
    if (target.closest?.("[data-app-meta-toggle]")) window.appMetaTheme.toggle();
    for (const menu of document.querySelectorAll("details.am-chip[open]")) if (!menu.contains(target)) menu.open = false;
  });
  document.addEventListener("keydown", ({ key }) => {
    const menu = key === "Escape" && document.querySelector("details.am-chip[open]");
    if (menu) (menu.open = false), menu.querySelector("summary").focus();
  });
})();

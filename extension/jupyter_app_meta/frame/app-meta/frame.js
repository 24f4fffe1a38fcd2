// What a visitor sees of the work behind a page: a line that grows with each cell of the first render, and one that moves
// while the kernel is busy for longer than a moment. Voila's page calls voila_process after each cell and voila_finish
// at the end; page.js reports what the kernel says of itself.
(() => {
  "use strict";
  const line = document.getElementById("app-meta-busy"), bar = line.firstElementChild;
  const count = document.getElementById("app-meta-count");
  const PATIENCE = 300; // ms that work may take before the line shows it, and a page before the rest is fetched
  let timer = null, isLoading = true;

  window.appMetaTheme?.apply();

  function show(name) {
    line.classList.add("on");
    line.setAttribute("aria-label", name);
    line.removeAttribute("aria-hidden");
  }

  function hide() {
    line.className = "am-busy";
    line.setAttribute("aria-hidden", "true");
    count.textContent = "";
    for (const name of ["aria-valuenow", "aria-valuemin", "aria-valuemax"]) line.removeAttribute(name);
  }

  window.voila_heartbeat = () => {};
  window.voila_process = (done, all) => {
    show("This page is being prepared");
    line.setAttribute("aria-valuemin", 0);
    line.setAttribute("aria-valuemax", all);
    line.setAttribute("aria-valuenow", done);
    line.classList.add("part");
    bar.style.width = `${(100 * done) / all}%`;
    if (isLoading && done < all) count.textContent = `${done} of ${all}`;
    else count.textContent = "";
  };
  window.voila_finish = () => {
    isLoading = false;
    clearTimeout(timer);
    hide();
  };

  // Voila's scripts and styles keep the browser busy for longer than all the rest of a page. They are fetched and run when
  // the page is complete and has been painted: a callback of the frame that follows runs after that. A hidden page is not
  // painted, so it fetches them at once; a page that takes long fetches them meanwhile. They are noted before the first
  // cell arrives, so that no output can name one.
  const later = Array.from(document.head.querySelectorAll("link[data-app-meta-later]"));
  let fetchRest = () => {
    fetchRest = () => {};
    new MutationObserver(name).observe(document, { childList: true, subtree: true });
    name();
    for (const link of later) {
      const made = link.cloneNode(); // a browser paints nothing while it waits for a style that came with the page
      made.rel = link.dataset.appMetaLater;
      link.replaceWith(made);
    }
  };
  let begin = () => {
    begin = () => {};
    fetchRest();
    for (const { href, as } of later) {
      if (as) document.head.append(Object.assign(document.createElement("script"), { src: href, async: false }));
    }
  };
  setTimeout(() => fetchRest(), PATIENCE);
  document.addEventListener("DOMContentLoaded", () => {
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => begin())));
    if (document.hidden) begin();
    document.addEventListener("visibilitychange", () => begin());
  });

  // Voila starts at the load event, which may be over when its scripts run.
  const listen = window.addEventListener;
  window.addEventListener = function (type, listener, ...options) {
    const isLate = type === "load" && document.readyState === "complete" && typeof listener === "function";
    if (!isLate) return listen.call(this ?? window, type, listener, ...options);
    window.addEventListener = listen;
    setTimeout(listener);
  };

  timer = setTimeout(() => show("This page is being prepared"), PATIENCE);
  // A page that breaks off says so itself; a line that goes on would contradict it.
  document.addEventListener("DOMContentLoaded", () => isLoading && window.voila_finish());

  document.addEventListener("app-meta:kernel", ({ detail }) => {
    if (isLoading) return;
    clearTimeout(timer);
    if (detail === "busy") timer = setTimeout(() => show("Working"), PATIENCE);
    else hide();
  });

  // A screen reader says a name for each control and picture. ipywidgets gives none to the handle of a slider, whose label
  // is its name, to a button that has only an icon, and to a picture.
  function name() {
    for (const picture of document.querySelectorAll("img:not([alt])")) picture.alt = picture.title || "Picture";
    for (const button of document.querySelectorAll("button.jupyter-button:not([aria-label], [title]):has(> i.fa)")) {
      const icon = /fa-([a-z]+)/.exec(button.firstElementChild.className)?.[1];
      if (icon && !button.textContent.trim()) button.setAttribute("aria-label", icon[0].toUpperCase() + icon.slice(1));
    }
    for (const handle of document.querySelectorAll(".noUi-handle:not([aria-label])")) {
      const slider = handle.closest(".widget-inline-hbox, .widget-inline-vbox, .jupyter-widgets");
      const labels = [slider?.querySelector(".widget-label"), slider?.previousElementSibling];
      const label = labels.find((found) => found?.matches(".widget-label") && found.textContent.trim());
      handle.setAttribute("aria-label", label?.textContent.trim() ?? "Slider");
    }
  }
})();

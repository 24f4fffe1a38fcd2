// What code in the kernel does to its page. The server has judged it. It stands inside the function of page.js if the server
// keeps state.

const COMMANDS = {
  query(given) {
    const url = new URL(location);
    for (const [name, values] of Object.entries(given)) {
      url.searchParams.delete(name);
      for (const value of values) url.searchParams.append(name, value);
    }
    history.replaceState(history.state, "", url);
  },
  title(given) {
    document.title = given;
    document.querySelector(".am-title")?.replaceChildren(given);
  },
  redirect(given) {
    location.assign(given[0] === "/" ? location.origin + given : given);
  },
  cookie(ticket) {
    post(TELL.replace(/tab(?=\/[^/]+$)/, "cookie"), { ticket });
  },
};
document.addEventListener("app-meta:do", ({ detail }) => detail.forEach((told) => COMMANDS[told.do]?.(told.given)));

// The badge: initials in a circle, the name, the groups on hover, and a link to log in or out. All texts are set as text.

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

// An address of this server, which begins with one slash.
const isOwn = (url) => /^\/(?![/\\])/.test(url);

function render({ model, el }) {
  function draw() {
    const [name, initials, color, groups, url] = ["name", "initials", "color", "groups", "url"].map((key) => model.get(key));
    const badge = element("span", "app-meta-badge", "");
    badge.title = groups.join(", ");
    if (name) {
      const circle = element("span", "app-meta-initials", initials);
      circle.setAttribute("aria-hidden", "true");
      circle.style.backgroundColor = color;
      badge.append(circle, element("span", "", name));
    }
    if (isOwn(url)) {
      const link = element("a", "", name ? "Log out" : "Log in");
      link.href = url;
      badge.append(link);
    }
    el.replaceChildren(badge);
  }
  draw();
  model.on("change", draw);
}

export default { render };

// A page that asks for news by itself. What is new is put into the page as it stands, so that focus, scrolling and what is
// folded stay, and is marked for a moment; how fresh the page is, or that nobody answers, is said.
const callbacks = Idiomorph.defaults.callbacks;
const mark = (node) => node.closest(".asof, [role=status], svg") ?? node.classList.add("changed");
callbacks.beforeNodeMorphed = (old, now) => {
  if (old.nodeType === Node.TEXT_NODE && old.data.trim() !== now.data.trim()) mark(old.parentElement);
};
callbacks.afterNodeAdded = (node) => {
  if (node.nodeType === Node.ELEMENT_NODE) mark(node);
};
callbacks.beforeAttributeUpdated = (name) => name !== "open";
document.addEventListener("animationend", ({ target }) => target.classList.remove("changed"));
document.addEventListener("htmx:afterRequest", ({ detail: { xhr } }) => {
  document.getElementById("lost").hidden = xhr.status >= 200 && xhr.status < 300;
  if (xhr.status === 204) {
    const when = new Date(xhr.getResponseHeader("Date"));
    document.getElementById("clock").textContent = when.toLocaleTimeString("en-GB", { timeZone: "Asia/Kolkata" });
  }
});

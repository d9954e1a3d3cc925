// Says how fresh a page is that asks for news by itself: when it was last told that there are none, or that nobody answers.
document.addEventListener("htmx:afterRequest", ({ detail: { xhr } }) => {
  document.getElementById("lost").hidden = xhr.status >= 200 && xhr.status < 300;
  if (xhr.status === 204) {
    const when = new Date(xhr.getResponseHeader("Date"));
    document.getElementById("clock").textContent = when.toLocaleTimeString("en-GB", { timeZone: "Asia/Kolkata" });
  }
});

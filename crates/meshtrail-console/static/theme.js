// Which theme this browser was told to show; runs before anything is painted. Without a word, the system decides.
{
  const PLACE = "meshtrail.theme";
  const kept = () => { try { return localStorage.getItem(PLACE); } catch { return null; } };
  const show = (theme) => {
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    document.querySelectorAll(".themes button").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.theme === (theme ?? "auto"))));
  };
  show(kept());
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".themes").forEach((group) => { group.hidden = false; });
    show(kept());
  });
  addEventListener("storage", (event) => { if (event.key === PLACE) show(event.newValue); });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".themes button");
    if (!button) return;
    try {
      if (button.dataset.theme === "auto") localStorage.removeItem(PLACE);
      else localStorage.setItem(PLACE, button.dataset.theme);
    } catch { /* private mode: the choice holds for this page */ }
    show(button.dataset.theme);
  });
}

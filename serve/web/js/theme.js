/** Light, dark, or as the system has it. */

const KEY = "raypipe-theme";
const NAMES = { system: "As the system", light: "Light", dark: "Dark" };
const SIGNS = { system: "◐", light: "☀", dark: "☾" };

export function startTheme(button) {
  const order = Object.keys(NAMES);
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.replaceChildren(SIGNS[theme]);
    button.setAttribute("aria-label", `Colours: ${NAMES[theme]}`);
    button.title = `Colours: ${NAMES[theme].toLowerCase()}`;
  };
  const kept = localStorage.getItem(KEY);
  show(kept in NAMES ? kept : "system");
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(document.documentElement.dataset.theme) + 1) % order.length];
    localStorage.setItem(KEY, next);
    show(next);
  });
}

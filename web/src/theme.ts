/** Light, dark, or what the system says. */

import { announce, h } from "./dom";
import { icon } from "./icons";

const KEY = "stemlight-theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" } as const;
type Theme = keyof typeof NEXT;

function stored(): Theme {
  const theme = localStorage.getItem(KEY);
  return theme === "light" || theme === "dark" ? theme : "auto";
}

function apply(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new Event("themechange"));
}

/** Apply the stored theme and return the button that goes through the three. */
export function themeButton(): HTMLElement {
  const button = h("button", { type: "button", class: "quiet" }, [icon("sun"), h("span")]);
  const show = (theme: Theme) => {
    button.lastElementChild?.replaceChildren(theme);
    button.setAttribute("aria-label", `Colours: ${theme}. Change to ${NEXT[theme]}`);
    button.title = `Colours: ${theme}`;
  };
  button.addEventListener("click", () => {
    const theme = NEXT[stored()];
    localStorage.setItem(KEY, theme);
    apply(theme);
    show(theme);
    announce(`Colours: ${theme}`);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => apply(stored()));
  apply(stored());
  show(stored());
  return button;
}

/** Asking for the server's key. */

import { h } from "./dom";

/** Ask until something was typed; asked again means that it was wrong. */
export function keyAsker(): () => Promise<string> {
  let asked = 0;
  return () =>
    new Promise((resolve) => {
      asked += 1;
      const hint =
        asked === 1
          ? "This server asks for a key. Whoever runs it knows it."
          : "That key was not right. Look at it again, or ask whoever runs the server.";
      const input = h("input", {
        type: "password",
        id: "key",
        required: true,
        autocomplete: "off",
      });
      const dialog = h("dialog", { "aria-labelledby": "key-title" }, [
        h("h2", { id: "key-title" }, "Key"),
        h("p", {}, hint),
        h("form", { method: "dialog" }, [
          h("label", { for: "key", class: "label" }, "API key"),
          input,
          h("button", { class: "primary" }, "Go on"),
        ]),
      ]);
      dialog.addEventListener("cancel", (event) => event.preventDefault());
      dialog.addEventListener("close", () => {
        dialog.remove();
        resolve(input.value);
      });
      document.body.append(dialog);
      dialog.showModal();
    });
}

/** The keyboard of the mixer, and the help that lists it. */

import { h } from "../dom";

export interface Shortcut {
  readonly keys: string; // as shown
  readonly does: string;
  readonly matches: (event: KeyEvent) => boolean;
  readonly act: (event: KeyEvent) => void;
}

export type KeyEvent = Pick<
  KeyboardEvent,
  "key" | "code" | "shiftKey" | "ctrlKey" | "metaKey" | "altKey"
>;

/** A shortcut for one key, by what it types. */
export function onKey(key: string, keys: string, does: string, act: () => void): Shortcut {
  const matches = (event: KeyEvent) => event.key.toLowerCase() === key.toLowerCase();
  return { keys, does, matches, act };
}

/** The lane that a digit key means, counted from 0, or null. Shift changes what digits type. */
export function digitOf(event: KeyEvent): number | null {
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
  return digit === undefined ? null : Number(digit) - 1;
}

/** Whether a key belongs to what has the focus and not to the mixer. */
export function isTaken(target: Element | null, key: string): boolean {
  if (target === null || target.closest("dialog") !== null) return true;
  if (target.matches("select, textarea, input:not([type=range], [type=checkbox])")) return true;
  const moves = key.startsWith("Arrow") || ["Home", "End", "PageUp", "PageDown"].includes(key);
  if (target.matches("input[type=range]")) return moves;
  const presses = key === " " || key === "Enter";
  return presses && target.matches("button, a, summary, input");
}

/** Find and run what a key press means. */
export function handle(shortcuts: readonly Shortcut[], event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (isTaken(event.target as Element | null, event.key)) return;
  const shortcut = shortcuts.find((other) => other.matches(event));
  if (shortcut === undefined) return;
  event.preventDefault();
  shortcut.act(event);
}

/** The overlay that lists the keys. */
export function helpDialog(shortcuts: readonly Shortcut[]): HTMLDialogElement {
  const rows = shortcuts.flatMap(({ keys, does }) => [
    h(
      "dt",
      {},
      keys.split(" ").map((key) => h("kbd", {}, key)),
    ),
    h("dd", {}, does),
  ]);
  const close = h("button", { class: "primary", value: "close" }, "Close");
  const dialog = h("dialog", { class: "help", "aria-labelledby": "help-title" }, [
    h("h2", { id: "help-title" }, "Keys"),
    h("dl", {}, rows),
    h("p", { class: "hint" }, "Drag over a waveform to loop a part of it; click to jump there."),
    h("form", { method: "dialog" }, [close]),
  ]);
  return dialog;
}

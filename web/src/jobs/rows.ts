/** The list of uploads and jobs. Rows are kept and changed, so that the focus stays. */

import type { Job } from "../api";
import { h, setAttributes, setText } from "../dom";
import { icon } from "../icons";
import { clock, stateOf } from "../words";
import { isFinal } from "./list";
import type { Upload } from "./uploads";

export interface JobActions {
  cancel: (job: Job) => void;
  remove: (job: Job) => void;
  takeBack: (upload: Upload) => void;
}

interface Row {
  element: HTMLElement;
  title: HTMLElement;
  state: HTMLElement;
  bar: HTMLElement;
  fill: HTMLElement;
  buttons: HTMLElement;
  shown: string;
}

function makeRow(name: string): Row {
  const title = h("span", { class: "row-title" }, name);
  const state = h("span", { class: "row-state" });
  const fill = h("span", { class: "bar-fill" });
  const bar = h(
    "span",
    { class: "bar", role: "progressbar", "aria-label": `Progress of ${name}` },
    [fill],
  );
  setAttributes(bar, { "aria-valuemin": 0, "aria-valuemax": 100 });
  const buttons = h("span", { class: "row-buttons" });
  const text = h("div", { class: "row-text" }, [title, state, bar]);
  const element = h("li", { class: "row" }, [text, buttons]);
  return { element, title, state, bar, fill, buttons, shown: "" };
}

function setBar(row: Row, share: number | null): void {
  row.bar.hidden = share === null;
  if (share === null) return;
  row.bar.setAttribute("aria-valuenow", String(Math.round(share * 100)));
  row.fill.style.transform = `scaleX(${share})`;
}

function iconButton(name: "close" | "bin", label: string, act: () => void): HTMLElement {
  const attributes = { type: "button", class: "quiet round", "aria-label": label, title: label };
  return h("button", attributes, [icon(name)], { click: act });
}

export class JobRows {
  readonly element = h("ul", { class: "rows", "aria-label": "Songs" });
  private readonly empty = h("p", { class: "hint empty" }, "No songs yet.");
  private rows = new Map<string | Upload, Row>();

  constructor(private readonly actions: JobActions) {}

  update(uploads: readonly Upload[], jobs: readonly Job[]): void {
    const keys = [...uploads, ...jobs.map((job) => job.id)];
    const focused = [...this.rows].find(([, row]) => row.element.contains(document.activeElement));
    const place = focused ? [...this.rows.keys()].indexOf(focused[0]) : -1;
    const wanted = new Map<string | Upload, Row>();
    for (const upload of uploads) {
      const row = this.rows.get(upload) ?? makeRow(upload.file.name);
      this.showUpload(row, upload);
      wanted.set(upload, row);
    }
    for (const job of jobs) {
      const row = this.rows.get(job.id) ?? makeRow(job.name);
      this.showJob(row, job);
      wanted.set(job.id, row);
    }
    this.rows = wanted;
    const elements = keys.flatMap((key) => wanted.get(key)?.element ?? []);
    // Moving an element takes its focus away, so only what changed its place is moved.
    elements.forEach((element, i) => {
      if (this.element.children[i] !== element) {
        this.element.insertBefore(element, this.element.children[i] ?? null);
      }
    });
    while (this.element.children.length > elements.length) this.element.lastElementChild?.remove();
    this.element.hidden = elements.length === 0;
    this.empty.hidden = elements.length > 0;
    if (focused && !wanted.has(focused[0])) this.refocus(elements, place);
  }

  /** Both the list and what is said where it is empty. */
  parts(): HTMLElement[] {
    return [this.element, this.empty];
  }

  private refocus(elements: readonly HTMLElement[], place: number): void {
    const next = elements[Math.min(place, elements.length - 1)];
    const target =
      next?.querySelector<HTMLElement>("a, button") ?? document.getElementById("files");
    target?.focus();
  }

  private showUpload(row: Row, upload: Upload): void {
    const percent = Math.floor(upload.sentShare * 100);
    const text = {
      waiting: "Waiting to be sent",
      sending: percent < 100 ? `Sending, ${percent} %` : "Sent, being looked at",
      pausing: upload.message,
      failed: upload.message,
    }[upload.state];
    setText(row.state, text);
    row.element.dataset.state = upload.state;
    setBar(row, upload.state === "sending" ? upload.sentShare : null);
    if (row.shown !== upload.state) {
      row.shown = upload.state;
      const failed = upload.state === "failed";
      const label = `${failed ? "Dismiss" : "Do not send"} ${upload.file.name}`;
      row.buttons.replaceChildren(iconButton("close", label, () => this.actions.takeBack(upload)));
    }
  }

  private showJob(row: Row, job: Job): void {
    const length = job.duration_seconds === null ? "" : ` · ${clock(job.duration_seconds)}`;
    const made = job.state === "done" ? ` · ${job.stems.map((stem) => stem.name).join(", ")}` : "";
    setText(row.state, stateOf(job) + length + made);
    row.element.dataset.state = job.state;
    setBar(row, job.state === "running" ? job.progress : null);
    if (row.shown === job.state) return;
    row.shown = job.state;
    const focus = row.buttons.contains(document.activeElement);
    row.buttons.replaceChildren(...this.buttonsOf(job));
    if (focus) row.buttons.querySelector<HTMLElement>("a, button")?.focus();
  }

  private buttonsOf(job: Job): HTMLElement[] {
    const open = h("a", { class: "button primary", href: `#/jobs/${encodeURIComponent(job.id)}` }, [
      "Mix",
      h("span", { class: "unseen" }, ` ${job.name}`),
    ]);
    const remove = iconButton("bin", `Remove ${job.name}`, () => this.actions.remove(job));
    const cancel = iconButton("close", `Cancel ${job.name}`, () => this.actions.cancel(job));
    if (!isFinal(job)) return [cancel];
    return job.state === "done" ? [open, remove] : [remove];
  }
}

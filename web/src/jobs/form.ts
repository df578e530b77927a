/** Where songs come in: the drop area, and what is to be made of them. */

import type { JobOptions, Model, Options } from "../api";
import { h } from "../dom";
import { icon } from "../icons";
import { size, span } from "../words";

const KEY = "stemlight-choice";

/** The choice of model, stems and format, kept for the next visit. */
export class ChoiceForm {
  readonly element: HTMLElement;
  private readonly model = h("select", { id: "model" });
  private readonly format = h("select", { id: "format" });
  private readonly stems = h("div", { class: "stem-choice" });
  private readonly summary = h("p", { class: "hint" });
  private readonly about = h("details", { class: "about hint" }, [
    h("summary", {}, "About this model"),
    this.summary,
  ]);
  private readonly warning = h("p", { class: "problem", role: "alert", hidden: true });

  constructor(
    private readonly models: readonly Model[],
    private readonly options: Options,
  ) {
    for (const { name } of models) this.model.append(h("option", { value: name }, name));
    for (const { name, bit_depths } of options.formats) {
      const depths = bit_depths.length > 1 ? bit_depths : [null];
      for (const depth of depths) {
        const label =
          depth === null ? name : `${name}, ${depth === "float" ? "float" : `${depth} bit`}`;
        this.format.append(
          h("option", { value: depth === null ? name : `${name}/${depth}` }, label),
        );
      }
    }
    this.model.value = models.find((model) => model.is_default)?.name ?? models[0]?.name ?? "";
    this.recall();
    this.model.addEventListener("change", () => this.showStems(null));
    this.element = h("fieldset", { class: "choice" }, [
      h("legend", { class: "unseen" }, "What to make of the next songs"),
      h("div", { class: "field" }, [
        h("span", { class: "label", id: "stems-label" }, "Stems"),
        this.stems,
        this.warning,
      ]),
      h("div", { class: "field" }, [
        h("label", { for: "model", class: "label" }, "Model"),
        this.model,
      ]),
      h("div", { class: "field" }, [
        h("label", { for: "format", class: "label" }, "Format"),
        this.format,
      ]),
      this.about,
    ]);
    this.stems.setAttribute("role", "group");
    this.stems.setAttribute("aria-labelledby", "stems-label");
    this.element.addEventListener("change", () => this.remember());
  }

  /** The options of the next jobs, or null (and a word about it) if no stem is picked. */
  read(): JobOptions | null {
    const picked = this.picked();
    this.warning.hidden = picked.length > 0;
    this.warning.textContent = "No stem is picked. Pick at least one, then drop the song again.";
    if (picked.length === 0) return null;
    const all = this.boxes().length === picked.length;
    const [format = "wav", bitDepth = null] = this.format.value.split("/");
    return { model: this.model.value, stems: all ? null : picked, format, bit_depth: bitDepth };
  }

  private boxes(): HTMLInputElement[] {
    return [...this.stems.querySelectorAll("input")];
  }

  private picked(): string[] {
    return this.boxes().flatMap((box) => (box.checked ? [box.value] : []));
  }

  private showStems(picked: readonly string[] | null): void {
    const model = this.models.find(({ name }) => name === this.model.value);
    this.summary.textContent = model ? `${model.summary} Licence: ${model.licence}` : "";
    const rows = (model?.sources ?? []).map((name) =>
      h("label", { class: "pill", "data-stem": name }, [
        h("input", { type: "checkbox", value: name, checked: picked?.includes(name) ?? true }),
        h("span", {}, name),
      ]),
    );
    this.stems.replaceChildren(...rows);
  }

  private remember(): void {
    const choice = { model: this.model.value, format: this.format.value, stems: this.picked() };
    localStorage.setItem(KEY, JSON.stringify(choice));
  }

  private recall(): void {
    let stems: string[] | null = null;
    try {
      const choice = JSON.parse(localStorage.getItem(KEY) ?? "{}") as {
        model?: string;
        format?: string;
        stems?: string[];
      };
      const has = (select: HTMLSelectElement, value: string | undefined): value is string =>
        [...select.options].some((option) => option.value === value);
      if (has(this.format, choice.format)) this.format.value = choice.format;
      if (has(this.model, choice.model)) {
        this.model.value = choice.model;
        if (choice.stems?.length) stems = choice.stems;
      }
    } catch {
      // Another version's choice, or one edited by hand: the defaults stand.
    }
    this.showStems(stems);
  }

  /** What the server takes, in words. */
  limits(): string {
    const { upload_bytes, duration_seconds } = this.options.limits;
    const parts = [];
    if (upload_bytes !== null) parts.push(`up to ${size(upload_bytes)}`);
    if (duration_seconds !== null) parts.push(`up to ${span(duration_seconds)} long`);
    const kept = this.options.expires_after_seconds;
    if (kept !== null) parts.push(`kept for ${span(kept)}`);
    return `Any format, video too${parts.length ? `; ${parts.join(", ")}` : ""}.`;
  }
}

/** The area that takes dropped files, anywhere on the page, and opens the file dialogue. */
export function dropArea(hint: string, take: (files: File[]) => void): HTMLElement {
  const input = h("input", { type: "file", multiple: true, class: "unseen", id: "files" });
  input.addEventListener("change", () => {
    take([...(input.files ?? [])]);
    input.value = "";
  });
  const area = h("label", { class: "drop", for: "files" }, [
    icon("up"),
    h("span", { class: "drop-title" }, "Drop songs here, or choose files"),
    h("span", { class: "hint" }, hint),
  ]);
  let depth = 0;
  const mark = (inside: boolean) => area.classList.toggle("over", inside);
  document.addEventListener("dragenter", () => {
    depth += 1;
    mark(true);
  });
  document.addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) mark(false);
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    mark(false);
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length > 0) take(files);
  });
  return h("div", { class: "drop-holder" }, [input, area]);
}

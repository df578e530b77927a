/** One stem's lane: name, mute, solo, volume, pan, waveform or spectrogram, download. */

import { api, type Job, type Peaks, type Stem } from "../api";
import { h, setText } from "../dom";
import { icon } from "../icons";
import { level, side, size } from "../words";
import { type Change, HIGHEST_DB, heard, type Lane, LOWEST_DB, type Mix } from "./mix";
import { Waveform } from "./waveform";

export class LaneView {
  readonly element: HTMLElement;
  readonly strip = h("div", { class: "strip" });
  private readonly wave = h("div", { class: "wave" });
  private readonly picture = h("div", { class: "picture", hidden: true });
  private readonly problem = h("p", { class: "problem", hidden: true });
  private readonly mute = h("button", { type: "button", class: "toggle mute" }, "Mute");
  private readonly solo = h("button", { type: "button", class: "toggle solo" }, "Solo");
  private readonly gain: HTMLInputElement;
  private readonly pan: HTMLInputElement;
  private readonly gainText = h("output", { class: "value" });
  private readonly panText = h("output", { class: "value" });
  private waveform: Waveform | null = null;
  private pictureUrl: string | null = null;

  constructor(
    private readonly job: Job,
    private readonly stem: Stem,
    place: number,
    change: (change: Change) => void,
  ) {
    const { name } = stem;
    this.gain = range(`Volume of ${name}`, LOWEST_DB, HIGHEST_DB, 0.5);
    this.pan = range(`Pan of ${name}`, -1, 1, 0.05);
    this.mute.addEventListener("click", () => change({ type: "mute", name }));
    this.solo.addEventListener("click", () => change({ type: "solo", name }));
    this.mute.title = `Mute ${name} (${place})`;
    this.solo.title = `Solo ${name} (Shift+${place})`;
    this.mute.setAttribute("aria-label", `Mute ${name}`);
    this.solo.setAttribute("aria-label", `Solo ${name}`);
    this.gain.addEventListener("input", () =>
      change({ type: "gain", name, gainDb: this.gain.valueAsNumber }),
    );
    this.pan.addEventListener("input", () =>
      change({ type: "pan", name, pan: this.pan.valueAsNumber }),
    );
    this.gain.addEventListener("dblclick", () => change({ type: "gain", name, gainDb: 0 }));
    this.pan.addEventListener("dblclick", () => change({ type: "pan", name, pan: 0 }));
    const label = `Download ${name}, ${job.options.format}, ${size(stem.size_bytes)}`;
    const download = h(
      "a",
      { class: "quiet round", href: `${stem.url}?download=1`, download: true, title: label },
      [icon("down"), h("span", { class: "unseen" }, label)],
    );
    const head = h("div", { class: "lane-head" }, [
      h("h2", { class: "lane-name" }, name),
      download,
      h("div", { class: "lane-toggles" }, [this.mute, this.solo]),
      h("div", { class: "knob" }, [h("span", { class: "label" }, "Vol"), this.gain, this.gainText]),
      h("div", { class: "knob" }, [h("span", { class: "label" }, "Pan"), this.pan, this.panText]),
    ]);
    this.strip.append(this.wave, this.picture, this.problem);
    const attributes = { class: "lane", "data-stem": name, role: "group", "aria-label": name };
    this.element = h("section", attributes, [head, this.strip]);
  }

  /** Fetch the waveform; null (and a word about it) if it does not come. */
  async load(): Promise<Peaks | null> {
    try {
      return await api.peaks(this.stem.peaks_url);
    } catch (error) {
      this.tell(`The waveform did not come: ${(error as Error).message}`);
      return null;
    }
  }

  /** Draw the waveform, at the scale of all lanes, so that loud stems look loud. */
  draw(peaks: Peaks, scale: number): void {
    this.waveform = new Waveform(this.wave, peaks, scale);
  }

  recolour(): void {
    this.waveform?.recolour();
  }

  show(mix: Mix, lane: Lane): void {
    this.mute.setAttribute("aria-pressed", String(lane.muted));
    this.solo.setAttribute("aria-pressed", String(lane.solo));
    this.element.classList.toggle("unheard", !heard(mix, lane));
    const gain = level(lane.gainDb, LOWEST_DB);
    const pan = side(lane.pan);
    this.gain.value = String(lane.gainDb);
    this.pan.value = String(lane.pan);
    this.gain.setAttribute("aria-valuetext", gain);
    this.pan.setAttribute("aria-valuetext", pan);
    setText(this.gainText, gain);
    setText(this.panText, pan);
  }

  /** Show the spectrogram in place of the waveform, or the waveform again. */
  async showSpectrogram(shown: boolean): Promise<void> {
    this.wave.hidden = shown;
    this.picture.hidden = !shown;
    if (!shown || this.pictureUrl !== null) return;
    this.picture.replaceChildren(h("p", { class: "hint" }, "Drawing …"));
    try {
      const response = await api.spectrogram(this.job.id, this.stem.name);
      this.pictureUrl = URL.createObjectURL(await response.blob());
      const alt = `Spectrogram of ${this.stem.name}`;
      this.picture.replaceChildren(h("img", { src: this.pictureUrl, alt, draggable: "false" }));
      const low = hertz(response.headers.get("X-Frequency-Low-Hz"));
      const high = hertz(response.headers.get("X-Frequency-High-Hz"));
      if (high) this.picture.append(h("span", { class: "hertz high" }, high));
      if (low) this.picture.append(h("span", { class: "hertz low" }, low));
    } catch (error) {
      this.picture.replaceChildren();
      this.tell(`The spectrogram did not come: ${(error as Error).message}`);
    }
  }

  destroy(): void {
    this.waveform?.destroy();
    if (this.pictureUrl !== null) URL.revokeObjectURL(this.pictureUrl);
  }

  private tell(problem: string): void {
    this.problem.hidden = false;
    this.problem.textContent = problem;
  }
}

function range(label: string, min: number, max: number, step: number): HTMLInputElement {
  return h("input", { type: "range", "aria-label": label, title: label, min, max, step });
}

function hertz(header: string | null): string | null {
  if (header === null || !Number.isFinite(Number(header))) return null;
  const value = Number(header);
  return value >= 1000
    ? `${(value / 1000).toFixed(value >= 10_000 ? 0 : 1)} kHz`
    : `${Math.round(value)} Hz`;
}

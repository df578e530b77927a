/** The mixer of one job: transport, presets, lanes, downloads. */

import { ApiError, api, type Job, type Options } from "../api";
import { announce, h, saveBlob, setText } from "../dom";
import { icon } from "../icons";
import { clock, sentence, size, stemName } from "../words";
import { LaneView } from "./laneView";
import { isPreset, type Mix, mixRequest, presetsFor } from "./mix";
import { Player, SHORTEST_LOOP_SECONDS } from "./player";
import { digitOf, handle, helpDialog, onKey, type Shortcut } from "./shortcuts";
import { Timeline } from "./timeline";
import { highest } from "./waveform";

const SKIP_SECONDS = 5;
const METER_LOWEST_DB = -60;

export class MixerPage {
  readonly element: HTMLElement;
  private readonly player: Player;
  private readonly timeline: Timeline;
  private readonly lanes: LaneView[];
  private readonly help: HTMLDialogElement;
  private readonly playButton = toggle("Play", "Play or pause (Space)", "play-button");
  private readonly loopButton = toggle("Loop", "Loop on or off (L)");
  private readonly originalButton = toggle("Original", "Original or stems (O)");
  private readonly pictureButton = toggle("Spectrogram", "Spectrograms or waveforms (G)");
  private readonly position = h("input", {
    type: "range",
    min: 0,
    step: 0.1,
    class: "position",
    "aria-label": "Position in the song",
  });
  private readonly time = h("span", { class: "time" });
  private readonly meter = h("span", { class: "meter-fill" });
  private readonly problem = h("p", { class: "problem", role: "alert", hidden: true });
  private readonly presets: { button: HTMLElement; shown: (mix: Mix) => boolean }[] = [];
  private readonly format = h("select", { "aria-label": "Format of the mix" });
  private readonly exportButton = h("button", { type: "button", class: "primary" }, "Export mix");
  private readonly exported = h("span", { class: "hint" });
  private readonly exportProblem = h("p", { class: "problem", role: "alert", hidden: true });
  private animation = 0;
  private pictures = false;
  private isClosed = false;
  private positionIsHeld = false;
  private readonly onKeyDown: (event: KeyboardEvent) => void;
  private readonly onTheme = () => {
    for (const lane of this.lanes) lane.recolour();
  };

  constructor(
    private readonly job: Job,
    options: Options,
  ) {
    this.player = new Player(job, {
      mix: (mix) => this.showMix(mix),
      transport: () => this.showTransport(),
      failed: (error) => this.tell(error),
    });
    const { rateHz, length } = this.player;
    this.timeline = new Timeline(length, SHORTEST_LOOP_SECONDS * rateHz, {
      seek: (frame) => this.player.seek(frame),
      loop: (loop) => this.player.setLoop(loop),
    });
    this.lanes = job.stems.map(
      (stem, i) => new LaneView(job, stem, i + 1, (change) => this.player.change(change)),
    );
    for (const lane of this.lanes) this.timeline.attach(lane.strip);
    const shortcuts = this.shortcuts();
    this.help = helpDialog(shortcuts);
    this.onKeyDown = (event) => handle(shortcuts, event);
    this.fillFormats(options);
    this.listen();
    this.element = this.layout();
    this.showMix(this.player.mix);
    this.showTransport();
  }

  /** Start what needs the element to be on the page. */
  async start(): Promise<void> {
    document.addEventListener("keydown", this.onKeyDown);
    document.addEventListener("themechange", this.onTheme);
    this.animation = requestAnimationFrame(this.frame);
    const peaks = await Promise.all(this.lanes.map((lane) => lane.load()));
    if (this.isClosed) return;
    const scale = 1 / Math.max(0.05, ...peaks.map((some) => (some === null ? 0 : highest(some))));
    this.lanes.forEach((lane, i) => {
      const some = peaks[i];
      if (some) lane.draw(some, scale);
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    cancelAnimationFrame(this.animation);
    document.removeEventListener("keydown", this.onKeyDown);
    document.removeEventListener("themechange", this.onTheme);
    for (const lane of this.lanes) lane.destroy();
    await this.player.close();
  }

  private layout(): HTMLElement {
    const start = h(
      "button",
      { type: "button", class: "quiet round", "aria-label": "To the start", title: "Start (Home)" },
      [icon("start")],
      { click: () => this.player.seek(0) },
    );
    const keys = h(
      "button",
      { type: "button", class: "quiet round", "aria-label": "Keys", title: "Keys (?)" },
      [icon("help")],
      { click: () => this.help.showModal() },
    );
    const meter = h("span", { class: "meter", "aria-hidden": "true", title: "Level" }, [
      this.meter,
    ]);
    return h("div", { class: "mixer" }, [
      h("div", { class: "mixer-title" }, [
        h("a", { class: "quiet round", href: "#/", "aria-label": "Back to all songs" }, [
          icon("back"),
        ]),
        h("h1", { tabindex: -1 }, this.job.name),
      ]),
      this.problem,
      h("section", { class: "card transport", "aria-label": "Playback" }, [
        start,
        this.playButton,
        h("div", { class: "position-holder" }, [this.position, meter]),
        this.time,
        h("div", { class: "switches" }, [
          this.loopButton,
          this.job.original === null ? null : this.originalButton,
          this.pictureButton,
          keys,
        ]),
      ]),
      h("div", { class: "presets", role: "group", "aria-label": "Presets" }, this.presetButtons()),
      h(
        "div",
        { class: "lanes" },
        this.lanes.map((lane) => lane.element),
      ),
      this.takeHome(),
      this.help,
    ]);
  }

  private presetButtons(): HTMLElement[] {
    const names = this.job.stems.map((stem) => stem.name);
    for (const preset of presetsFor(names)) {
      const button = h("button", { type: "button", class: "pill" }, preset.name, {
        click: () => {
          this.player.change({ type: "preset", heard: preset.heard });
          announce(preset.name);
        },
      });
      this.presets.push({ button, shown: (mix) => isPreset(mix, preset) });
    }
    const reset = h("button", { type: "button", class: "quiet" }, "Reset levels", {
      click: () => {
        this.player.change({ type: "reset" });
        announce("All levels are as they were separated");
      },
    });
    return [...this.presets.map(({ button }) => button), reset];
  }

  private takeHome(): HTMLElement {
    const { archive_url, stem_mp4_url, stems } = this.job;
    const bytes = stems.reduce((sum, stem) => sum + stem.size_bytes, 0);
    const link = (url: string | null, text: string) =>
      url === null
        ? null
        : h("a", { class: "button", href: url, download: true }, [icon("down"), text]);
    return h("section", { class: "card take", "aria-labelledby": "take-title" }, [
      h("h2", { id: "take-title" }, "Take it home"),
      h("div", { class: "take-group" }, [this.format, this.exportButton, this.exported]),
      this.exportProblem,
      h("div", { class: "take-group" }, [
        link(archive_url, `All stems, zip, ${size(bytes)}`),
        link(stem_mp4_url, "stem.mp4 for DJ software"),
      ]),
    ]);
  }

  private fillFormats(options: Options): void {
    for (const { name, bit_depths } of options.formats.filter(({ name }) => name !== "stem.mp4")) {
      for (const depth of bit_depths.length > 1 ? bit_depths : [null]) {
        const words =
          depth === null ? name : `${name}, ${depth === "float" ? depth : `${depth} bit`}`;
        this.format.append(h("option", { value: `${name}/${depth ?? ""}` }, words));
      }
    }
  }

  private listen(): void {
    const { player } = this;
    this.playButton.addEventListener("click", () => void player.toggle());
    this.loopButton.addEventListener("click", () => player.switchLoop(!player.loopIsOn));
    this.originalButton.addEventListener("click", () => this.switchOriginal());
    this.pictureButton.addEventListener("click", () => this.switchPictures());
    this.exportButton.addEventListener("click", () => void this.exportMix());
    this.position.max = String(player.length / player.rateHz);
    this.position.addEventListener("input", () => {
      player.seek(this.position.valueAsNumber * player.rateHz);
    });
    for (const type of ["pointerdown", "pointerup", "pointercancel"]) {
      this.position.addEventListener(type, () => {
        this.positionIsHeld = type === "pointerdown";
      });
    }
  }

  private switchOriginal(): void {
    const heard = !this.player.originalIsHeard;
    void this.player.switchOriginal(heard);
    announce(heard ? "The original is heard" : "The stems are heard");
  }

  private switchPictures(): void {
    this.pictures = !this.pictures;
    this.pictureButton.setAttribute("aria-pressed", String(this.pictures));
    for (const lane of this.lanes) void lane.showSpectrogram(this.pictures);
  }

  private shortcuts(): Shortcut[] {
    const { player } = this;
    const lane = (act: "mute" | "solo") => (event: Parameters<Shortcut["act"]>[0]) => {
      const name = player.mix[digitOf(event) ?? -1]?.name;
      if (name !== undefined) player.change({ type: act, name });
    };
    return [
      onKey(" ", "Space", "play or pause", () => void player.toggle()),
      {
        keys: "← →",
        does: `${SKIP_SECONDS} s back or on, with Shift 1 s`,
        matches: ({ key }) => key === "ArrowLeft" || key === "ArrowRight",
        act: ({ key, shiftKey }) =>
          player.skip((key === "ArrowLeft" ? -1 : 1) * (shiftKey ? 1 : SKIP_SECONDS)),
      },
      onKey("Home", "Home", "to the start", () => player.seek(0)),
      onKey("o", "O", "original or stems", () => this.job.original && this.switchOriginal()),
      {
        keys: `1 … ${this.lanes.length}`,
        does: "mute a stem",
        matches: (event) => digitOf(event) !== null && !event.shiftKey,
        act: lane("mute"),
      },
      {
        keys: `Shift 1 … ${this.lanes.length}`,
        does: "solo a stem",
        matches: (event) => digitOf(event) !== null && event.shiftKey,
        act: lane("solo"),
      },
      onKey("l", "L", "loop on or off", () => player.switchLoop(!player.loopIsOn)),
      onKey("[", "[", "loop from here", () => player.markLoop("first")),
      onKey("]", "]", "loop up to here", () => player.markLoop("end")),
      onKey("Escape", "Esc", "forget the loop", () => player.setLoop(null)),
      onKey("g", "G", "spectrograms or waveforms", () => this.switchPictures()),
      onKey("e", "E", "export the mix", () => void this.exportMix()),
      onKey("?", "?", "this list", () => this.help.showModal()),
    ];
  }

  private async exportMix(): Promise<void> {
    if (this.exportButton.getAttribute("aria-disabled") === "true") return;
    this.exportProblem.hidden = true;
    this.exported.textContent = "";
    this.exportButton.setAttribute("aria-disabled", "true");
    this.exportButton.textContent = "Mixing …";
    announce("Mixing");
    try {
      const [format = "wav", depth] = this.format.value.split("/");
      const request = mixRequest(this.player.mix, format, depth || null);
      const response = await api.mix(this.job.id, request);
      saveBlob(await response.blob(), `${stemName(this.job.name)} (mix).${format}`);
      const gainDb = Number(response.headers.get("X-Gain-Db") ?? 0);
      const quieter = `The mix is saved, ${(-gainDb).toFixed(1)} dB quieter so that nothing clips`;
      const word = gainDb < -0.05 ? quieter : "The mix is saved";
      this.exported.textContent = `${word}.`;
      announce(word);
    } catch (error) {
      this.tell(error, this.exportProblem);
    }
    this.exportButton.removeAttribute("aria-disabled");
    this.exportButton.textContent = "Export mix";
  }

  private tell(error: unknown, place: HTMLElement = this.problem): void {
    const told = error instanceof ApiError ? sentence(error.message, this.job.name) : null;
    const gone = error instanceof ApiError && (error.status === 404 || error.status === 409);
    place.textContent = gone
      ? "The files of this song are no longer there: it expired or was removed. Drop it again."
      : (told ??
        "This browser could not play the sound. Look whether there is a sound output, reload the page, or download the stems.");
    place.hidden = false;
  }

  private showMix(mix: Mix): void {
    mix.forEach((lane, i) => {
      this.lanes[i]?.show(mix, lane);
    });
    for (const { button, shown } of this.presets) {
      button.setAttribute("aria-pressed", String(shown(mix)));
    }
  }

  private showTransport(): void {
    const { playing, waiting, loop, loopIsOn, originalIsHeard } = this.player;
    const state = playing ? "pause" : "play";
    if (this.playButton.dataset.state !== state) {
      this.playButton.dataset.state = state;
      this.playButton.replaceChildren(icon(state));
      this.playButton.setAttribute("aria-label", playing ? "Pause" : "Play");
    }
    this.playButton.classList.toggle("waiting", waiting);
    this.playButton.removeAttribute("aria-pressed");
    this.loopButton.setAttribute("aria-pressed", String(loopIsOn));
    this.originalButton.setAttribute("aria-pressed", String(originalIsHeard));
    this.timeline.showLoop(loop, loopIsOn);
    this.element?.classList.toggle("original-heard", originalIsHeard);
  }

  /** What moves by itself. */
  private readonly frame = () => {
    const { frame, rateHz, length } = this.player;
    this.timeline.show(frame);
    const text = `${clock(frame / rateHz)} / ${clock(length / rateHz)}`;
    setText(this.time, text);
    if (!this.positionIsHeld) this.position.value = String(frame / rateHz);
    this.position.setAttribute("aria-valuetext", text.replace("/", "of"));
    const decibels = 20 * Math.log10(Math.max(1e-9, this.player.peak()));
    const share = Math.min(1, Math.max(0, 1 - decibels / METER_LOWEST_DB));
    this.meter.style.transform = `scaleX(${share})`;
    this.meter.classList.toggle("clips", decibels > 0);
    this.animation = requestAnimationFrame(this.frame);
  };
}

function toggle(text: string, title: string, extra = ""): HTMLButtonElement {
  return h(
    "button",
    { type: "button", class: `toggle ${extra}`, title, "aria-pressed": "false" },
    text,
  );
}

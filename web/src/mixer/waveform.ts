/** A waveform of the server's peaks, drawn by wavesurfer.js. */

import WaveSurfer from "wavesurfer.js/dist/wavesurfer.js";
import type { Peaks } from "../api";

/** What wavesurfer's own style sheet says, as one that the page's security policy allows. */
const RULES = `
  :host { user-select: none; min-width: 1px }
  .scroll { overflow: hidden; width: 100%; position: relative }
  .wrapper { position: relative }
  .canvases { pointer-events: none }
  .canvases > div { position: relative }
  canvas { display: block; position: absolute; top: 0 }
  .progress, .cursor { display: none }
`;

/**
 * The two halves of a waveform, 0..1: highest and (upside down) lowest values of all channels.
 * Wavesurfer draws a first channel upwards and a second one downwards.
 */
export function halves(peaks: Peaks): [number[], number[]] {
  const perPoint = 2 * Math.max(1, peaks.channels);
  const nPoints = Math.floor(peaks.data.length / perPoint);
  const above = new Array<number>(nPoints).fill(0);
  const below = new Array<number>(nPoints).fill(0);
  peaks.data.forEach((value, i) => {
    const point = Math.floor(i / perPoint);
    if (point >= nPoints) return;
    above[point] = Math.max(above[point] ?? 0, value / 127);
    below[point] = Math.max(below[point] ?? 0, -value / 127);
  });
  return [above, below];
}

/** The highest value of a waveform, 0..1. */
export const highest = (peaks: Peaks): number =>
  peaks.data.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0) / 127;

export class Waveform {
  private readonly surfer: WaveSurfer;

  constructor(
    private readonly container: HTMLElement,
    peaks: Peaks,
    scale: number,
  ) {
    this.surfer = WaveSurfer.create({
      container,
      height: "auto",
      peaks: halves(peaks).map((half) => half.map((value) => value * scale)),
      duration: Math.max(0.01, peaks.length / peaks.sample_rate_hz),
      interact: false,
      hideScrollbar: true,
      cursorWidth: 0,
      ...this.colours(),
    });
    const root = this.surfer.getWrapper().getRootNode() as ShadowRoot;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(RULES);
    root.adoptedStyleSheets = [sheet];
  }

  /** Take the colours of the page again, after they changed. */
  recolour(): void {
    this.surfer.setOptions(this.colours());
  }

  destroy(): void {
    this.surfer.destroy();
  }

  private colours() {
    const colour = getComputedStyle(this.container).color;
    return { waveColor: colour, progressColor: colour };
  }
}

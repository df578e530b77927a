/** Playhead, loop and pointer of all waveforms: they move together. */

import { h } from "../dom";
import { type Loop, loopOf } from "./transport";

const DRAG_PIXELS = 5;

export interface TimelineActions {
  seek: (frame: number) => void;
  loop: (loop: Loop | null) => void;
}

interface Strip {
  readonly element: HTMLElement;
  readonly head: HTMLElement;
  readonly loop: HTMLElement;
}

export class Timeline {
  private readonly strips: Strip[] = [];
  private loop: { loop: Loop | null; active: boolean } = { loop: null, active: false };
  private isDragged = false;

  constructor(
    private readonly length: number, // frames
    private readonly shortestLoop: number,
    private readonly actions: TimelineActions,
  ) {}

  /** Make an element show and take positions. */
  attach(element: HTMLElement): void {
    const head = h("div", { class: "playhead" });
    const loop = h("div", { class: "loop", hidden: true });
    element.append(loop, head);
    this.strips.push({ element, head, loop });
    this.listen(element);
  }

  show(frame: number): void {
    const percent = `${(100 * frame) / Math.max(1, this.length)}%`;
    for (const { head } of this.strips) head.style.left = percent;
  }

  showLoop(loop: Loop | null, active: boolean): void {
    this.loop = { loop, active };
    if (!this.isDragged) this.draw(loop, active);
  }

  private draw(loop: Loop | null, active: boolean): void {
    for (const strip of this.strips) {
      strip.loop.hidden = loop === null;
      strip.loop.classList.toggle("off", !active);
      if (loop === null) continue;
      strip.loop.style.left = `${(100 * loop.first) / this.length}%`;
      strip.loop.style.width = `${(100 * (loop.end - loop.first)) / this.length}%`;
    }
  }

  private listen(element: HTMLElement): void {
    let start: { x: number; frame: number; id: number } | null = null;
    const frameOf = (event: PointerEvent) => {
      const { left, width } = element.getBoundingClientRect();
      const share = (event.clientX - left) / Math.max(1, width);
      return Math.min(1, Math.max(0, share)) * this.length;
    };
    const release = () => {
      start = null;
      this.isDragged = false;
      this.draw(this.loop.loop, this.loop.active);
    };
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      start = { x: event.clientX, frame: frameOf(event), id: event.pointerId };
      element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => {
      if (start === null || start.id !== event.pointerId) return;
      if (Math.abs(event.clientX - start.x) < DRAG_PIXELS) return;
      this.isDragged = true;
      this.draw(loopOf(start.frame, frameOf(event), this.length, 1), true);
    });
    element.addEventListener("pointerup", (event) => {
      if (start === null) return;
      const dragged = Math.abs(event.clientX - start.x) >= DRAG_PIXELS;
      const loop = loopOf(start.frame, frameOf(event), this.length, this.shortestLoop);
      if (dragged) this.actions.loop(loop);
      else this.actions.seek(start.frame);
      release();
    });
    element.addEventListener("pointercancel", () => release()); // the finger scrolls the page
  }
}

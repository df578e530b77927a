/** Which frames of the song are played when. Frames are counted, so nothing drifts. */

export interface Loop {
  readonly first: number; // frame
  readonly end: number; // the frame after the last one
}

/** A stretch of the song without a jump, put on the clock of the sound card. */
export interface Stretch {
  readonly first: number;
  readonly count: number;
  readonly startSeconds: number; // on the clock
}

/** The next stretch from a frame on: up to the end of its chunk, of the loop or of the song. */
export function nextStretch(
  frame: number,
  length: number,
  chunk: number,
  loop: Loop | null,
): { first: number; count: number } | null {
  let first = frame;
  if (loop !== null && first >= loop.end) first = loop.first;
  if (first >= length) return null;
  const chunkEnd = (Math.floor(first / chunk) + 1) * chunk;
  const end = Math.min(chunkEnd, length, loop?.end ?? Number.POSITIVE_INFINITY);
  return { first, count: end - first };
}

/** The frame that is heard at a time, given what was put on the clock, in order. */
export function frameAt(
  stretches: readonly Stretch[],
  seconds: number,
  rateHz: number,
): number | null {
  let found: number | null = null;
  for (const { first, count, startSeconds } of stretches) {
    if (seconds < startSeconds) return found ?? first;
    found = first + Math.min(count, (seconds - startSeconds) * rateHz);
  }
  return found;
}

/** A loop of two frames in either order, or null if it is too short to be one. */
export function loopOf(a: number, b: number, length: number, shortest: number): Loop | null {
  const first = Math.max(0, Math.round(Math.min(a, b)));
  const end = Math.min(length, Math.round(Math.max(a, b)));
  return end - first >= shortest ? { first, end } : null;
}

/** Where a jump by some frames ends. */
export const movedBy = (frame: number, by: number, length: number): number =>
  Math.min(length, Math.max(0, frame + by));

import { describe, expect, it } from "vitest";
import { frameAt, loopOf, movedBy, nextStretch, type Stretch } from "../src/mixer/transport";

const LENGTH = 1000;
const CHUNK = 300;

function played(start: number, count: number, loop: { first: number; end: number } | null) {
  const frames: number[] = [];
  let frame = start;
  while (frames.length < count) {
    const stretch = nextStretch(frame, LENGTH, CHUNK, loop);
    if (stretch === null) break;
    expect(Math.floor(stretch.first / CHUNK)).toBe(
      Math.floor((stretch.first + stretch.count - 1) / CHUNK),
    );
    for (let i = 0; i < stretch.count; i += 1) frames.push(stretch.first + i);
    frame = stretch.first + stretch.count;
  }
  return frames;
}

describe("stretches", () => {
  it("play every frame of the song once, in order, each within a chunk", () => {
    expect(played(0, 2 * LENGTH, null)).toEqual(Array.from({ length: LENGTH }, (_, i) => i));
  });

  it("go round a loop without losing or repeating a frame", () => {
    const loop = { first: 250, end: 620 };
    const frames = played(400, 1000, loop);
    frames.slice(1).forEach((frame, i) => {
      const before = frames[i] ?? 0;
      expect(frame).toBe(before === loop.end - 1 ? loop.first : before + 1);
    });
  });

  it("jump into a loop that lies before", () => {
    expect(nextStretch(900, LENGTH, CHUNK, { first: 10, end: 20 })).toEqual({
      first: 10,
      count: 10,
    });
  });

  it("end with the song", () => {
    expect(nextStretch(LENGTH, LENGTH, CHUNK, null)).toBeNull();
  });
});

describe("the frame that is heard", () => {
  const stretches: Stretch[] = [
    { first: 500, count: 100, startSeconds: 2 },
    { first: 200, count: 100, startSeconds: 3 }, // after a jump
  ];
  it("follows the clock, over jumps", () => {
    expect(frameAt(stretches, 2.5, 100)).toBe(550);
    expect(frameAt(stretches, 3.25, 100)).toBe(225);
  });
  it("waits at the first frame before the sound starts, and at the last when it is late", () => {
    expect(frameAt(stretches, 1, 100)).toBe(500);
    expect(frameAt(stretches, 9, 100)).toBe(300);
    expect(frameAt([], 9, 100)).toBeNull();
  });
});

describe("loops", () => {
  it("are the same drawn from either side, within the song", () => {
    expect(loopOf(900, -50, LENGTH, 10)).toEqual({ first: 0, end: 900 });
    expect(loopOf(300, 2000, LENGTH, 10)).toEqual({ first: 300, end: LENGTH });
  });
  it("are no loops when they are too short to be meant", () => {
    expect(loopOf(300, 305, LENGTH, 10)).toBeNull();
  });
});

it("moves stay within the song", () => {
  expect([movedBy(10, -50, LENGTH), movedBy(990, 50, LENGTH)]).toEqual([0, LENGTH]);
});

import { describe, expect, it } from "vitest";
import { digitOf } from "../src/mixer/shortcuts";
import { halves } from "../src/mixer/waveform";
import { clock, level, sentence, side, size, span, stemName, timeLeft } from "../src/words";

describe("words", () => {
  it("for times", () => {
    expect([0, 65.9, 3700].map(clock)).toEqual(["0:00", "1:05", "1:01:40"]);
    expect([null, 0.2, 42.1, 200].map(timeLeft)).toEqual([
      "",
      "1 s left",
      "43 s left",
      "about 3 min left",
    ]);
  });
  it("for limits", () => {
    expect([7200, 5400, 90, 3].map(span)).toEqual(["2 h", "1.5 h", "1.5 min", "3 s"]);
  });
  it("for sizes", () => {
    expect([999, 1000, 1_536_000, 5e8, 999_900, 2.5e9].map(size)).toEqual([
      "999 B",
      "1 kB",
      "1.5 MB",
      "500 MB",
      "1.0 MB",
      "2.5 GB",
    ]);
  });
  it("for levels and sides", () => {
    expect([0, 3, -6, -60].map((db) => level(db, -60))).toEqual([
      "0.0 dB",
      "+3.0 dB",
      "\u22126.0 dB",
      "silent",
    ]);
    expect([0, -0.3, 1].map(side)).toEqual(["centre", "30 % left", "100 % right"]);
  });
  it("for lines of the server, which begin small, unless with the name of the song", () => {
    expect(sentence("every stem is muted", "a.wav")).toBe("Every stem is muted");
    expect(sentence("a.wav is no audio", "a.wav")).toBe("a.wav is no audio");
  });
  it("for names of songs, whose end is taken off once", () => {
    expect(["a.b.flac", "Vol. 2", "x"].map(stemName)).toEqual(["a.b", "Vol. 2", "x"]);
  });
});

it("digits are known with Shift, by their place", () => {
  const key = { key: "!", ctrlKey: false, metaKey: false, altKey: false, shiftKey: true };
  expect(digitOf({ ...key, code: "Digit1" })).toBe(0);
  expect(digitOf({ ...key, code: "KeyA" })).toBeNull();
});

it("a waveform has the highest of all channels above and the lowest below", () => {
  const base = { sample_rate_hz: 44_100, samples_per_point: 256, length: 2 };
  const [above, below] = halves({ ...base, channels: 2, data: [-127, 0, -10, 127, 5, 10, 0, 0] });
  expect(above).toEqual([1, 10 / 127]);
  expect(below).toEqual([1, 0]);
});

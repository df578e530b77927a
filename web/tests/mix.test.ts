import { describe, expect, it } from "vitest";
import {
  changed,
  factor,
  HIGHEST_DB,
  heard,
  isPreset,
  LOWEST_DB,
  laneFactor,
  type Mix,
  mixRequest,
  newMix,
  presetsFor,
} from "../src/mixer/mix";

const names = ["vocals", "drums", "bass", "other"];
const heardNames = (mix: Mix) => mix.filter((lane) => heard(mix, lane)).map(({ name }) => name);
const solo = (name: string) => ({ type: "solo", name }) as const;
const mute = (name: string) => ({ type: "mute", name }) as const;

describe("a mix", () => {
  it("plays every stem at unity in the centre at first", () => {
    const mix = newMix(names);
    expect(mix.map((lane) => laneFactor(mix, lane))).toEqual([1, 1, 1, 1]);
    expect(mix.every(({ pan }) => pan === 0)).toBe(true);
  });

  it("lets solo win over what is not solo, and mute over everything", () => {
    let mix = changed(changed(newMix(names), solo("bass")), solo("drums"));
    expect(heardNames(mix)).toEqual(["drums", "bass"]);
    mix = changed(mix, mute("bass"));
    expect(heardNames(mix)).toEqual(["drums"]);
    mix = changed(changed(changed(mix, solo("drums")), solo("bass")), mute("bass"));
    expect(heardNames(mix)).toEqual(names);
  });

  it("halves the amplitude at -6.02 dB and is silent at the lowest level", () => {
    expect(factor(-20 * Math.log10(2))).toBeCloseTo(0.5, 12);
    expect(factor(0)).toBe(1);
    expect(factor(LOWEST_DB)).toBe(0);
  });

  it("keeps levels and pans within their ranges, whatever comes", () => {
    const gain = (gainDb: number) =>
      changed(newMix(["bass"]), { type: "gain", name: "bass", gainDb })[0]?.gainDb;
    expect([gain(99), gain(-999), gain(Number.NaN)]).toEqual([HIGHEST_DB, LOWEST_DB, 0]);
    expect(changed(newMix(["bass"]), { type: "pan", name: "bass", pan: -3 })[0]?.pan).toBe(-1);
  });

  it("changes no mix that was handed out", () => {
    const mix = Object.freeze(newMix(names).map(Object.freeze)) as Mix;
    changed(mix, mute("bass"));
    expect(heardNames(mix)).toEqual(names);
  });

  it("asks the server for what is heard", () => {
    let mix = changed(newMix(names), solo("drums"));
    mix = changed(mix, { type: "gain", name: "drums", gainDb: -3 });
    mix = changed(mix, { type: "pan", name: "drums", pan: 0.5 });
    const { stems, format, bit_depth } = mixRequest(mix, "flac", "24");
    expect([format, bit_depth]).toEqual(["flac", "24"]);
    expect(stems.drums).toEqual({ gain_db: -3, pan: 0.5, muted: false });
    expect(names.filter((name) => stems[name]?.muted)).toEqual(["vocals", "bass", "other"]);
  });
});

describe("presets", () => {
  it("mute, and keep levels", () => {
    let mix = changed(newMix(names), { type: "gain", name: "bass", gainDb: -9 });
    const karaoke = presetsFor(names).find(({ name }) => name === "No vocals");
    mix = changed(changed(mix, solo("vocals")), { type: "preset", heard: karaoke?.heard ?? [] });
    expect(heardNames(mix)).toEqual(["drums", "bass", "other"]);
    expect(mix[2]?.gainDb).toBe(-9);
    expect(karaoke && isPreset(mix, karaoke)).toBe(true);
  });

  it("are offered only where their stems are", () => {
    const offered = (of: string[]) => presetsFor(of).map(({ name }) => name);
    expect(offered(["drums", "bass"])).toEqual(["Everything", "Drum practice"]);
    expect(offered(["vocals"])).toEqual(["Everything"]);
  });
});

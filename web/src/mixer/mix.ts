/** The mix as a value: what is heard of each stem. No DOM and no sound here. */

import type { MixRequest } from "../api";

export const LOWEST_DB = -60; // and below: silence
export const HIGHEST_DB = 12;

export interface Lane {
  readonly name: string;
  readonly gainDb: number;
  readonly pan: number; // -1 left .. 1 right
  readonly muted: boolean;
  readonly solo: boolean;
}

export type Mix = readonly Lane[];

export type Change =
  | { type: "gain"; name: string; gainDb: number }
  | { type: "pan"; name: string; pan: number }
  | { type: "mute"; name: string }
  | { type: "solo"; name: string }
  | { type: "preset"; heard: readonly string[] }
  | { type: "reset" };

const neutral = (name: string): Lane => ({ name, gainDb: 0, pan: 0, muted: false, solo: false });

export const newMix = (names: readonly string[]): Mix => names.map(neutral);

const clamp = (value: number, low: number, high: number): number =>
  Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : 0;

/** The mix after a change. */
export function changed(mix: Mix, change: Change): Mix {
  switch (change.type) {
    case "gain": {
      const gainDb = clamp(change.gainDb, LOWEST_DB, HIGHEST_DB);
      return mix.map((lane) => (lane.name === change.name ? { ...lane, gainDb } : lane));
    }
    case "pan": {
      const pan = clamp(change.pan, -1, 1);
      return mix.map((lane) => (lane.name === change.name ? { ...lane, pan } : lane));
    }
    case "mute":
      return mix.map((lane) =>
        lane.name === change.name ? { ...lane, muted: !lane.muted } : lane,
      );
    case "solo":
      return mix.map((lane) => (lane.name === change.name ? { ...lane, solo: !lane.solo } : lane));
    case "preset":
      return mix.map((lane) => ({
        ...lane,
        solo: false,
        muted: !change.heard.includes(lane.name),
      }));
    case "reset":
      return mix.map((lane) => neutral(lane.name));
  }
}

/** Whether a lane is heard: solo wins over all that is not solo, mute over everything. */
export function heard(mix: Mix, lane: Lane): boolean {
  return !lane.muted && (lane.solo || !mix.some((other) => other.solo));
}

/** The factor for a level in dB; the lowest level is silence. */
export const factor = (gainDb: number): number => (gainDb <= LOWEST_DB ? 0 : 10 ** (gainDb / 20));

/** The factor that a lane is played with. */
export const laneFactor = (mix: Mix, lane: Lane): number =>
  heard(mix, lane) ? factor(lane.gainDb) : 0;

/** The same mix for the server. */
export function mixRequest(mix: Mix, format: string, bitDepth: string | null): MixRequest {
  const stems: MixRequest["stems"] = {};
  for (const lane of mix) {
    const muted = laneFactor(mix, lane) === 0;
    stems[lane.name] = { gain_db: lane.gainDb, pan: lane.pan, muted };
  }
  return { stems, format, bit_depth: bitDepth };
}

export interface Preset {
  readonly name: string;
  readonly heard: readonly string[];
}

/** The presets that make sense for these stems. */
export function presetsFor(names: readonly string[]): Preset[] {
  const others = (name: string) => names.filter((other) => other !== name);
  const presets: Preset[] = [{ name: "Everything", heard: names }];
  if (names.length > 1 && names.includes("vocals")) {
    presets.push({ name: "No vocals", heard: others("vocals") });
    presets.push({ name: "Vocals only", heard: ["vocals"] });
  }
  if (names.length > 1 && names.includes("drums")) {
    presets.push({ name: "Drum practice", heard: others("drums") });
  }
  return presets;
}

/** Whether the mix is what a preset makes of it. */
export function isPreset(mix: Mix, preset: Preset): boolean {
  return mix.every((lane) => heard(mix, lane) === preset.heard.includes(lane.name));
}

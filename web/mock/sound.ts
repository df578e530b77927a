/** Synthetic stems for developing the page: a beat, a bass, a tune and something like a voice. */

export const RATE_HZ = 44_100;
export const SECONDS = 40;
export const STEMS = ["vocals", "drums", "bass", "other"];

const FRAMES = RATE_HZ * SECONDS;
const made = new Map<string, Float32Array>();

function sample(name: string, t: number): number {
  const beat = t % 0.5;
  const bar = Math.floor(t / 2) % 4;
  const root = 55 * ([1, 1.2, 1.335, 0.89][bar] ?? 1);
  const wave = (hz: number) => Math.sin(2 * Math.PI * hz * t);
  if (name === "drums") {
    const noise = (Math.sin(t * 91_234.567) * 43_758.5453) % 1;
    return (
      0.5 * Math.exp(-beat * 14) * Math.sin(60 * Math.exp(-beat * 20)) +
      0.15 * noise * Math.exp(-((t + 0.25) % 0.5) * 30)
    );
  }
  if (name === "bass") return 0.3 * wave(root) * Math.exp(-beat * 2);
  if (name === "vocals") {
    const sings = t % 8 > 3 ? 1 : 0;
    return (
      0.2 *
      sings *
      Math.sin(2 * Math.PI * 330 * t + 3 * Math.sin(2 * Math.PI * 5 * t)) *
      (0.6 + 0.4 * wave(0.7))
    );
  }
  return 0.08 * (wave(root * 4) + wave(root * 5) + wave(root * 6));
}

export function samples(name: string): Float32Array {
  let sound = made.get(name);
  if (sound === undefined) {
    sound = new Float32Array(FRAMES);
    for (let i = 0; i < FRAMES; i += 1) {
      const t = i / RATE_HZ;
      sound[i] =
        name === "original"
          ? STEMS.reduce((sum, stem) => sum + sample(stem, t), 0)
          : sample(name, t);
    }
    made.set(name, sound);
  }
  return sound;
}

export function wav(name: string, first = 0, count = FRAMES): Buffer {
  const sound = samples(name).subarray(first, first + count);
  const file = Buffer.alloc(44 + sound.length * 2);
  file.write("RIFF", 0);
  file.writeUInt32LE(36 + sound.length * 2, 4);
  file.write("WAVEfmt ", 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(1, 22);
  file.writeUInt32LE(RATE_HZ, 24);
  file.writeUInt32LE(RATE_HZ * 2, 28);
  file.writeUInt16LE(2, 32);
  file.writeUInt16LE(16, 34);
  file.write("data", 36);
  file.writeUInt32LE(sound.length * 2, 40);
  sound.forEach((value, i) => {
    file.writeInt16LE(Math.round(Math.max(-1, Math.min(1, value)) * 32_767), 44 + i * 2);
  });
  return file;
}

export function peaks(name: string) {
  const sound = samples(name);
  const step = 1024;
  const data: number[] = [];
  for (let at = 0; at < sound.length; at += step) {
    const part = sound.subarray(at, at + step);
    data.push(Math.round(Math.min(...part) * 127), Math.round(Math.max(...part) * 127));
  }
  return {
    version: 1,
    channels: 1,
    sample_rate_hz: RATE_HZ,
    samples_per_point: step,
    length: sound.length,
    data,
  };
}

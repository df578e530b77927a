/** Numbers in words: times, sizes, levels. */

import type { Job } from "./api";

/** 65.2 -> "1:05", 3700 -> "1:01:40". */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const rest = String(whole % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/** 7200 -> "2 h", 90 -> "1.5 min". */
export function span(seconds: number): string {
  const [value, unit] =
    seconds >= 3600
      ? [seconds / 3600, "h"]
      : seconds >= 60
        ? [seconds / 60, "min"]
        : [seconds, "s"];
  return `${Number(value.toFixed(1))} ${unit}`;
}

/** 42 -> "42 s left", 200 -> "about 3 min left"; nothing where it is not known. */
export function timeLeft(seconds: number | null): string {
  if (seconds === null) return "";
  if (seconds < 90) return `${Math.max(1, Math.ceil(seconds))} s left`;
  return `about ${Math.round(seconds / 60)} min left`;
}

/** 1536000 -> "1.5 MB". */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let value = bytes;
  while (value >= 999.5 && units.length > 1) {
    value /= 1000;
    units.shift();
  }
  const isExact = units.length === 4 || value >= 100 || Number.isInteger(value);
  return `${value.toFixed(isExact ? 0 : 1)} ${units[0]}`;
}

/** -6 -> "-6.0 dB" with a true minus; the lowest level is silence. */
export function level(gainDb: number, lowestDb: number): string {
  if (gainDb <= lowestDb) return "silent";
  const sign = gainDb > 0 ? "+" : gainDb < 0 ? "\u2212" : "";
  return `${sign}${Math.abs(gainDb).toFixed(1)} dB`;
}

/** -0.3 -> "30 % left". */
export function side(pan: number): string {
  const percent = Math.round(Math.abs(pan) * 100);
  if (percent === 0) return "centre";
  return `${percent} % ${pan < 0 ? "left" : "right"}`;
}

/** A line of the server as one of the page; a name that begins it stays as it is. */
export function sentence(line: string, name: string): string {
  return line.startsWith(name) ? line : line.charAt(0).toUpperCase() + line.slice(1);
}

/** What a job is at, in one line. */
export function stateOf(job: Job): string {
  switch (job.state) {
    case "queued":
      if (job.position === null) return "Waiting";
      return job.position <= 1 ? "Waiting, next" : `Waiting, ${job.position - 1} before it`;
    case "running": {
      const left = timeLeft(job.seconds_left);
      return `Separating, ${Math.floor(job.progress * 100)} %${left ? `, ${left}` : ""}`;
    }
    case "done":
      return "Ready";
    case "failed":
      return sentence(job.message ?? "failed; the server's log says why", job.name);
    case "cancelled":
      return "Cancelled";
    case "expired":
      return "Expired: its files were removed. Drop the song again to get new ones";
  }
}

/** A file name's end taken off: "Song.flac" -> "Song". */
export function stemName(name: string): string {
  return name.replace(/\.[A-Za-z0-9]{1,5}$/, "");
}

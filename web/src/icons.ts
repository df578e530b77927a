/** Small drawings, made of paths so that no markup is parsed at run time. */

const PATHS = {
  play: "M7 4.500v15l12-7.500z",
  pause: "M7 5h3.500v14H7zM13.500 5H17v14h-3.500z",
  start: "M6 5h2.500v14H6zM19 5v14l-9.500-7z",
  close:
    "M6.400 5 5 6.400 10.600 12 5 17.600 6.400 19 12 13.400 17.600 19 19 17.600 13.400 12 19 6.400 17.600 5 12 10.600z",
  bin: "M9 3h6l1 2h4v2H4V5h4zM6 8.500h12L17 21H7zm3.500 2.500.3 7.500h1.400L11 11zm3.500 0-.2 7.500h1.400l.3-7.500z",
  down: "M11 4h2v8.200l3-3 1.400 1.400L12 16l-5.400-5.400L8 9.200l3 3zM5 18h14v2H5z",
  up: "M11 16h2V7.800l3 3 1.400-1.400L12 4 6.600 9.400 8 10.800l3-3zM5 18h14v2H5z",
  loop: "M7 7h9V4l5 4-5 4V9H7a3 3 0 0 0-3 3H2a5 5 0 0 1 5-5zm10 10H8v3l-5-4 5-4v3h9a3 3 0 0 0 3-3h2a5 5 0 0 1-5 5z",
  back: "M11 5 4 12l7 7 1.400-1.400L7.800 13H20v-2H7.800l4.600-4.600z",
  sun: "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10zM11 1h2v3h-2zm0 19h2v3h-2zM1 11h3v2H1zm19 0h3v2h-3zM3.500 4.900l1.400-1.400L7 5.600 5.600 7zm13.500 13.500 1.400-1.400 2.100 2.100-1.400 1.400zM3.500 19.100 5.600 17 7 18.400l-2.100 2.100zM17 5.600l2.100-2.100 1.400 1.400L18.400 7z",
  help: "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm-1 14h2v2h-2zm1-10a4 4 0 0 1 2.300 7.200c-.9.700-1.300 1-1.300 1.800h-2c0-1.900 1-2.700 1.900-3.400A2 2 0 1 0 10 10H8a4 4 0 0 1 4-4z",
} as const;

const SVG = "http://www.w3.org/2000/svg";

/** Return an icon; it is decoration, so its button needs a name of its own. */
export function icon(name: keyof typeof PATHS): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
}

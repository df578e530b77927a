import { defineConfig, type Plugin } from "vite";
import { mockServer } from "./mock/plugin.ts";

/**
 * Takes wavesurfer's inline style sheet out, which the page's Content-Security-Policy forbids;
 * src/mixer/waveform.ts gives the shadow root the same rules as a constructed sheet.
 */
function withoutInlineStyle(): Plugin {
  return {
    name: "wavesurfer-without-inline-style",
    transform(code, id) {
      if (!/wavesurfer\.js\/dist\/renderer\.js/.test(id)) return null;
      const bare = code.replace(/<style\$\{[\s\S]*?<\/style>/, "");
      if (bare === code)
        throw new Error("wavesurfer.js has no inline style any more: drop this plugin");
      return { code: bare, map: null };
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [withoutInlineStyle(), mockServer()],
  optimizeDeps: { exclude: ["wavesurfer.js"] },
  build: {
    outDir: "../src/stemlight/serve/page",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    target: "es2022",
    license: { fileName: "licences.md" },
    modulePreload: { polyfill: false },
  },
});

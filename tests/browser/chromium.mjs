// A real Chromium, and what every page of ours must keep: no refused load, no console error, nothing for axe.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const shots = process.env.MESHTRAIL_SCREENSHOTS;

export const LOOKS = {
  light: { viewport: { width: 1440, height: 900 }, colorScheme: "light" },
  dark: { viewport: { width: 1440, height: 900 }, colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: "light", deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });

/** A page that remembers what went wrong in it. */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ ...LOOKS.light, ...options });
  // Bounds a wait that never ends; a machine whose cores are all taken is slow.
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  page.troubles = [];
  page.asked = new Set();
  page.on("request", (request) => page.asked.add(new URL(request.url()).origin));
  page.on("pageerror", (error) => page.troubles.push(`script: ${error.message}`));
  page.on("console", (message) => { if (message.type() === "error") page.troubles.push(`console: ${message.text()}`); });
  await page.addInitScript(() => {
    globalThis.refused = [];
    document.addEventListener("securitypolicyviolation", (event) => globalThis.refused.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  return page;
}

export async function assertClean(page, where) {
  const refused = await page.evaluate(() => globalThis.refused);
  assert.deepEqual(refused, [], `${where}: the content security policy refused something`);
  assert.deepEqual(page.troubles, [], `${where}: errors on the page`);
  const outside = [...page.asked].filter((origin) => origin !== "null" && origin !== new URL(page.url()).origin);
  assert.deepEqual(outside, [], `${where}: asked others`);
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wider <= 0, `${where}: scrolls sideways by ${wider} px`);
}

/** Runs axe; the policy forbids scripts of others, so it is put in past it, by the debugger. */
export async function assertAccessible(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] });
    return violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(({ target }) => target.join(" ")).slice(0, 3).join(", ")}`);
  });
  assert.deepEqual(found, [], `${where}: axe-core`);
}

export async function shoot(page, name) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`) });
}

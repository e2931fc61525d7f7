// Makes the README's pictures from `meshtrail demo`: node pictures.mjs FOLDER [SEED].
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { launch, LOOKS, openPage } from "./chromium.mjs";
import { ask } from "./server.mjs";

const WIDTH = 1440;
const PATIENCE = 60_000;

/** What is pictured: where it is, what must be there first, and how much of the page is shown. */
const PICTURES = [
  { name: "timeline", path: "/events", ready: "table tbody tr", height: 900 },
  { name: "sessions", path: "/sessions", ready: "table.sessions tbody tr", height: 640 },
  { name: "session", path: ({ night }) => `/sessions/${night}`, ready: ".stage", act: play },
  { name: "changes", path: "/changes?severity=low&since=7d", ready: "main", height: 900 },
  { name: "person", path: "/people/rowan@example.net", ready: "main", height: 900 },
  { name: "device", path: ({ device }) => `/devices/${device}`, ready: "main", height: 900 },
  { name: "network", path: "/network", ready: "main", height: 900 },
  { name: "sources", path: "/sources", ready: "main", height: 640 },
];

/** A demo of its own, in a folder that goes with it. */
async function demo(seed) {
  const folder = mkdtempSync(join(tmpdir(), "meshtrail-pictures-"));
  const ready = join(folder, "ready.json");
  const options = ["demo", "--seed", seed, "--keep", join(folder, "demo"), "--ready-file", ready];
  const running = spawn(process.env.MESHTRAIL_BIN ?? "meshtrail", options, { stdio: ["ignore", "ignore", "inherit"] });
  for (let tries = 0; !existsSync(ready) || readFileSync(ready, "utf8") === ""; tries += 1) {
    if (tries > 1200 || running.exitCode !== null) throw new Error("meshtrail demo did not become ready");
    await pause(100);
  }
  const { listen, admin_token_file: tokenFile } = JSON.parse(readFileSync(ready, "utf8"));
  return {
    url: `http://${listen}`, token: readFileSync(tokenFile, "utf8").trim(),
    async stop() {
      running.kill("SIGTERM");
      if (running.exitCode === null) await once(running, "exit");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The night's session, and the machine that was brought for it. */
async function incident(server) {
  const query = encodeURIComponent("actor:rowan@example.net target:postgres");
  const { sessions } = await (await ask(server, `/api/v1/sessions?q=${query}`)).json();
  return { night: sessions[0].id, device: sessions[0].actor.device.id };
}

/** Plays until something worth seeing is on the screen, and opens the proof. */
async function play(page) {
  await page.click("[data-play]");
  await page.waitForSelector(".proof.good");
  await page.waitForTimeout(26000);
  await page.click(".way summary");
}

async function signIn(page, server) {
  await page.goto(`${server.url}/sign-in`);
  await page.fill("input[name=token]", server.token);
  await page.click("form.token button");
  await page.waitForSelector("#sound.good");
}

const [folder, seed = "7"] = process.argv.slice(2);
const server = await demo(seed);
const found = await incident(server);
const browser = await launch();
for (const look of ["light", "dark"]) {
  const page = await openPage(browser, LOOKS[look]);
  page.setDefaultTimeout(PATIENCE);
  await signIn(page, server);
  for (const { name, path, ready, height, act } of PICTURES) {
    const answer = await page.goto(server.url + (typeof path === "string" ? path : path(found)));
    if (!answer.ok()) {
      console.error(`${name}: ${answer.status()}, not pictured`);
      continue;
    }
    await page.waitForSelector(ready);
    await page.waitForSelector("#sound.good");
    if (act) await act(page);
    const file = join(folder, `${name}-${look}.png`);
    await page.screenshot(height ? { path: file, clip: { x: 0, y: 0, width: WIDTH, height } } : { path: file, fullPage: true });
  }
  await page.context().close();
}
await browser.close();
await server.stop();

// The console of a real server, with sessions recorded by the real protocol.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertAccessible, assertClean, launch, LOOKS, openPage, shoot } from "./chromium.mjs";
import { checkPackFile } from "./pack-checks.mjs";
import { ask, record, recordWhole, serve, untilSession } from "./server.mjs";

const LONG = "find / -xdev -type f -name '*.log' -mtime +30 -print0 | xargs -0 -r sh -c 'for f; do gzip -9 \"$f\" && mv \"$f.gz\" /srv/archive/; done' -- && systemctl restart everything";
const TABLE = "\r\n                 Table \"public.invoices\"\r\n   Column   │           Type           │ Nullable \r\n────────────┼──────────────────────────┼──────────\r\n id         │ bigint                   │ not null \r\n issued     │ timestamp with time zone │ not null \r\n\r\n";

let server;
let browser;
let live;

before(async () => {
  server = await serve();
  browser = await launch();
  const shell = ["\u001b[32mpostgres@db-prod-1\u001b[0m:~$ ", "psql billing\r\n", "psql (17.2)\r\n\r\nbilling=# ", "\\d invoices", TABLE, "billing=# ", "\\q\r\n"];
  assert.equal(await recordWhole(server, { command: "psql billing" }, shell), 200);
  assert.equal(await recordWhole(server, { command: LONG, srcNodeUser: "a-very-long-login-name-that-somebody-chose@subdomain.of.a.very-long-company-name.example.com" }, ["x"]), 200);
  assert.equal(await recordWhole(server, { command: "echo שלום \u001b[31mrm\u202e -rf <script>alert(1)</script>", srcNodeUser: "שלום@דוגמה.example" }, ["</script><script>alert(1)</script>"]), 200);
  const tags = Array.from({ length: 40 }, (_, at) => `tag:team-${at}-production`);
  assert.equal(await recordWhole(server, { srcNodeUser: undefined, srcNodeUserID: undefined, srcNodeTags: tags, command: "kubectl get pods" }, ["none\r\n"]), 200);
  const broken = await record(server, { command: "tail -f /var/log/syslog" });
  await broken.write([0.5, "o", "line\r\n"]);
  broken.break();
  live = await record(server, { command: "top" });
  await live.write([0.2, "o", "\u001b[2J\u001b[Htop - 14:02:11 up 12 days\r\n"]);
  // What was sealed has an event; lists and pages of it are complete from then on.
  for (const part of ["psql", "gzip", "שלום", "kubectl"]) await untilSession(server, ({ command, event }) => command?.includes(part) && event);
  await untilSession(server, ({ state, event }) => state === "interrupted" && event);
  await untilSession(server, ({ state, bytes }) => state === "live" && bytes > 100);
});

after(async () => {
  live?.break();
  await browser?.close();
  await server?.stop();
});

async function signedIn(options) {
  const page = await openPage(browser, options);
  await page.goto(`${server.url}/sessions`);
  assert.match(page.url(), /\/sign-in\?to=/, "a stranger is sent to sign in");
  await page.fill("input[name=token]", server.token);
  await page.click("form.token button");
  await page.waitForURL(`${server.url}/sessions`);
  return page;
}

const whole = () => untilSession(server, ({ command, event }) => command === "psql billing" && event);

for (const [look, options] of Object.entries(LOOKS)) {
  test(`every page is clean, accessible and quiet (${look})`, async () => {
    const { id, event } = await whole();
    const page = await openPage(browser, options);
    await page.goto(`${server.url}/sign-in`);
    await assertAccessible(page, "sign-in");
    await shoot(page, `sign-in-${look}`);
    await page.context().close();
    const pages = await signedIn(options);
    const paths = ["/sessions", "/sessions?q=actor:nobody", "/sessions?q=acotr:x", "/sessions?state=live", `/sessions/${id}`, "/events", "/events?q=kind:meshtrail.*", "/events?q=%22", `/events/${event}`, "/nowhere", "/events/main.recorder.9.9"];
    for (const path of paths) {
      pages.troubles.length = 0;
      await pages.goto(server.url + path, { waitUntil: "load" });
      await pages.waitForTimeout(400);
      pages.troubles = pages.troubles.filter((trouble) => !/status of (?:400|404)/.test(trouble));
      await assertClean(pages, path);
      await shoot(pages, `${path.replaceAll(/[^a-z0-9]+/gi, "-").replaceAll(/^-|-$/g, "") || "home"}-${look}`.replace(id, "one").replace(event, "one"));
      await assertAccessible(pages, path);
    }
    await pages.context().close();
  });
}

test("an event's proof turns green only by computing, and red when the server lies", async () => {
  const { event } = await whole();
  const page = await signedIn();
  await page.goto(`${server.url}/events/${event}`);
  await page.waitForSelector(".proof.good");
  assert.match(await page.textContent(".proof .head"), /Proven in this browser/);
  assert.match(await page.textContent("#sound"), /sound/);
  await page.route(`**/api/v1/events/${event}`, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, body: (await answer.text()).replace("success", "failure") });
  });
  await page.reload();
  await page.waitForSelector(".proof.bad");
  await page.unroute(`**/api/v1/events/${event}`);
  await page.route("**/api/v1/proof?event=*", async (route) => {
    const answer = await route.fetch();
    const proof = await answer.json();
    await route.fulfill({ response: answer, json: { ...proof, index: proof.index + 1 } });
  });
  await page.reload();
  await page.waitForSelector(".proof.bad");
  await page.context().close();
});

test("a trail that was rolled back or forked is not called sound", async () => {
  const page = await signedIn();
  await page.waitForSelector("#sound.good");
  await page.evaluate(() => {
    const kept = JSON.parse(localStorage.getItem("meshtrail.checkpoint"));
    localStorage.setItem("meshtrail.checkpoint", JSON.stringify({ ...kept, size: kept.size + 1000 }));
  });
  await page.reload();
  await page.waitForSelector("#sound.bad");
  assert.match(await page.textContent("[role=alert]"), /rolled back/);
  await page.evaluate(() => {
    const kept = JSON.parse(localStorage.getItem("meshtrail.checkpoint"));
    localStorage.setItem("meshtrail.checkpoint", JSON.stringify({ ...kept, size: 2, root: "00".repeat(32) }));
  });
  await page.reload();
  await page.waitForSelector("#sound.bad");
  assert.match(await page.textContent("[role=alert]"), /rolled back or forked/);
  await page.click("[role=alert] button");
  await page.waitForSelector("#sound.good");
  await page.context().close();
});

test("without cryptography nothing is called proven", async () => {
  const { event } = await whole();
  const page = await signedIn();
  await page.addInitScript(() => Object.defineProperty(globalThis.crypto, "subtle", { value: undefined }));
  await page.goto(`${server.url}/events/${event}`);
  await page.waitForSelector(".proof.unsure");
  assert.equal(await page.locator(".good").count(), 0);
  await page.context().close();
});

test("a recording plays, and what plays is proven; the view is in the trail", async () => {
  const { id } = await whole();
  const page = await signedIn();
  await page.goto(`${server.url}/sessions/${id}`);
  await page.waitForSelector(".proof.open");
  await page.keyboard.press(" ");
  await page.waitForSelector(".proof.good");
  await page.waitForFunction(() => document.querySelector(".ap-term-text")?.textContent.includes("invoices"));
  const elapsed = await page.textContent(".ap-time-elapsed");
  assert.match(elapsed, /^00:0[2-3]$/, "it plays in its own time");
  await page.keyboard.press(">");
  assert.equal(await page.$eval(".replay-line select", (speeds) => speeds.value), "2");
  await assertClean(page, "replay");
  await shoot(page, "session-playing");
  const { events } = await (await ask(server, `/api/v1/events?q=${encodeURIComponent(`session:${id} kind:meshtrail.viewed`)}`)).json();
  assert.ok(events.length > 0, "the view is an event");
  await page.context().close();
});

test("the player's bar spans its stage at every width, and a terminal is never too small to read", async () => {
  const { id } = await whole();
  const page = await signedIn();
  for (const [width, height] of [[1920, 1080], [1440, 900], [820, 1100], [390, 844]]) {
    await page.setViewportSize({ width, height });
    await page.goto(`${server.url}/sessions/${id}`);
    await page.click("[data-play]");
    await page.waitForSelector(".ap-control-bar", { state: "attached" });
    await page.waitForFunction(() => document.querySelector(".ap-term-text")?.textContent.includes("psql"));
    const [stage, bar, type] = await page.evaluate(() => {
      const wide = (selector) => document.querySelector(selector).getBoundingClientRect();
      return [wide(".stage").width, wide(".ap-control-bar").width, parseFloat(getComputedStyle(document.querySelector(".ap-term")).fontSize)];
    });
    assert.ok(stage - bar < 30, `at ${width} px the bar has ${bar} of ${stage}`);
    assert.ok(type > 9, `at ${width} px the type is ${type} px`);
    await assertClean(page, `replay at ${width} px`);
  }
  await page.context().close();
});

test("an altered recording is not played as proven", async () => {
  const { id } = await whole();
  const page = await signedIn();
  await page.route("**/recording?for=view", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, body: (await answer.text()).replace("billing", "billinG") });
  });
  await page.goto(`${server.url}/sessions/${id}`);
  await page.click("[data-play]");
  await page.waitForSelector(".proof.bad");
  assert.match(await page.textContent(".proof .head"), /recording was altered|hashes to/);
  await page.context().close();
});

test("names and commands from elsewhere are shown, never obeyed", async () => {
  const page = await signedIn();
  await page.goto(`${server.url}/sessions`);
  const text = await page.textContent("table.sessions");
  assert.match(text, /␛\[31m/);
  assert.match(text, /\\u\{202e\}/);
  assert.match(text, /<script>alert\(1\)<\/script>/);
  assert.equal(await page.locator("main script").count(), 0);
  const { event } = await untilSession(server, ({ command }) => command?.includes("\u202e"));
  await page.goto(`${server.url}/events/${event}`);
  await page.waitForSelector(".proof.good");
  assert.doesNotMatch(await page.textContent("main"), /[\u202e\u001b]/);
  await page.context().close();
});

test("the keyboard moves, opens, asks and goes back; the address keeps the place", async () => {
  const page = await signedIn();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  const row = await page.evaluate(() => document.activeElement.closest("tr").id);
  assert.ok(page.url().endsWith(`#${row}`));
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/sessions/${row}`);
  await page.keyboard.press("Escape");
  await page.waitForURL(`**/sessions#${row}`);
  await page.keyboard.press("/");
  await page.keyboard.type("comm");
  await page.keyboard.press("Tab");
  await page.keyboard.type("psql");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/sessions?q=command*");
  assert.equal(await page.locator("table.sessions tbody tr").count(), 1);
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  assert.ok(await page.isVisible("#keys"));
  await page.keyboard.press("Escape");
  assert.ok(!(await page.isVisible("#keys")));
  await page.context().close();
});

test("what can't be read in a filter is underlined, and what would be right is said", async () => {
  const page = await signedIn();
  await page.goto(`${server.url}/events?q=${encodeURIComponent("since:24h acotr:alice")}`);
  assert.match(await page.textContent(".mistake"), /acotr.*actor/s);
  assert.match(await page.textContent(".paint .wrong"), /acotr/);
  await page.context().close();
});

test("a page weighs less than 150 KB without the player, and paints soon", async () => {
  const page = await signedIn();
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Network.setCacheDisabled", { cacheDisabled: true });
  await page.goto(`${server.url}/sessions`, { waitUntil: "networkidle" });
  const weight = await page.evaluate(() => ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind)).reduce((sum, entry) => sum + (entry.transferSize || entry.encodedBodySize), 0));
  assert.ok(weight > 20_000 && weight < 150_000, `${weight} bytes as they are sent`);
  const paint = () => page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime).then((handle) => handle.jsonValue());
  const painted = await paint();
  // What the browser takes for next to nothing tells how busy the machine is.
  await page.goto("data:text/html,<p>next to nothing", { waitUntil: "networkidle" });
  const least = await paint();
  assert.ok(painted < 1000 + 10 * least, `first paint after ${painted} ms, of next to nothing after ${least} ms`);
  await page.context().close();
});

test("lists and events read without scripts", async () => {
  const { event } = await whole();
  const context = await browser.newContext({ ...LOOKS.light, javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(`${server.url}/sign-in`);
  await page.fill("input[name=token]", server.token);
  await page.click("form.token button");
  await page.goto(`${server.url}/sessions`);
  assert.ok((await page.locator("table.sessions tbody tr").count()) >= 6);
  await page.goto(`${server.url}/events?q=kind:ssh.session.ended`);
  assert.ok((await page.locator("table.events tbody tr").count()) >= 3);
  await page.goto(`${server.url}/events/${event}`);
  assert.match(await page.textContent(".leaf"), /"kind":"ssh.session.ended"/);
  await context.close();
});

test("a live session is watched as it goes on, and a new one comes into the list by itself", async () => {
  const { id } = await untilSession(server, ({ state }) => state === "live");
  const page = await signedIn();
  await page.keyboard.press("f");
  await page.waitForURL(`**/sessions/${id}`);
  await page.waitForSelector(".proof.open");
  await page.keyboard.press("f");
  const shows = (text) => page.waitForFunction((wanted) => document.querySelector(".ap-term-text")?.textContent.includes(wanted), text);
  await shows("up 12 days");
  await live.write([3, "o", "load average: 0.42\r\n"]);
  await shows("load average");
  await assertClean(page, "live");
  await shoot(page, "session-live");
  await page.goto(`${server.url}/sessions`);
  await page.mouse.move(1, 1);
  const other = await record(server, { command: "uptime" });
  await page.waitForFunction(() => document.querySelector("table.sessions").textContent.includes("uptime"));
  assert.equal(await other.end(), 200);
  await page.context().close();
});

test("a pack downloaded from the page replays and proves itself", async (each) => {
  const { id } = await whole();
  const html = await (await ask(server, `/api/v1/sessions/${id}/pack`)).text();
  await checkPackFile(each, browser, html);
});

test("ending a session asks for a reason, names the effect, and is in the trail", async () => {
  const { id } = await untilSession(server, ({ state }) => state === "live");
  const page = await signedIn();
  await page.goto(`${server.url}/sessions/${id}`);
  await page.click("[data-open=kill]");
  await shoot(page, "session-kill");
  await page.fill("dialog textarea", "the change window is over");
  await page.click("dialog [type=submit]");
  await page.waitForFunction(() => /Ended|Not ended/.test(document.querySelector("dialog .result")?.textContent ?? "Ended"));
  const { events } = await (await ask(server, `/api/v1/events?q=${encodeURIComponent(`session:${id} kind:meshtrail.killed`)}`)).json();
  assert.equal(events[0]?.detail.reason, "the change window is over");
  await page.context().close();
});

// The timeline of a real server: how many events when, with which values, and those that come.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertAccessible, assertClean, launch, LOOKS, openPage, shoot } from "./chromium.mjs";
import { ask, serve } from "./server.mjs";

const KINDS = ["ssh.login", "kube.request.done", "flow.closed", "ssh.logout"];
const PEOPLE = ["alice@example.com", "bob@example.com", "a-very-long-login-name-that-somebody-chose@subdomain.of.a.very-long-company-name.example.com", "שלום@דוגמה.example", "<b>eve</b>@example.com"];
const TAGS = Array.from({ length: 40 }, (_, at) => `tag:team-${at}-production`);
const COUNT = 10_000;

let server;
let browser;
let secret;

/** An event `minutes` ago; who and what follow from its number. */
function event(number, minutes) {
  const actor = number % 41 === 0 ? { tags: TAGS, device: { name: "runner-14.tail.example", id: "r14" } } : number % 37 === 0 ? {} : { person: { login: PEOPLE[number % 7 < 3 ? 0 : number % PEOPLE.length] }, device: { name: `laptop-${number % 9}.tail.example`, id: `n${number % 9}` } };
  const identity = number % 29 === 0 ? { status: "conflicting", claimed: { login: "contractor@example.com" } } : { status: Object.keys(actor).length ? "resolved" : "unresolved", reason: "the address was not in the directory", provider: "directory" };
  return {
    id: `agent-9.1.${number}`, time: new Date(Date.now() - minutes * 60_000).toISOString(), kind: KINDS[number % KINDS.length], actor, identity,
    outcome: number % 50 === 0 ? "denied" : number % 173 === 0 ? "unknown" : "success",
    target: { device: { name: `db-${number % 4}.tail.example`, id: `d${number % 4}`, tags: ["tag:prod"] }, account: "root" },
  };
}

async function send(events) {
  secret ??= (await (await ask(server, "/api/v1/tokens", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ name: "agent-9", role: "sender" }) })).json()).secret;
  const answer = await fetch(`${server.url}/api/v1/events`, { method: "POST", headers: { authorization: `Bearer ${secret}`, "content-type": "application/x-ndjson" }, body: events.map((each) => JSON.stringify(each)).join("\n") });
  assert.equal(answer.status, 200, await answer.text());
}

before(async () => {
  server = await serve();
  browser = await launch();
  for (let from = 0; from < COUNT; from += 2500) {
    await send(Array.from({ length: 2500 }, (_, at) => event(from + at + 1, (COUNT - from - at) * 0.28 + 1)));
  }
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

async function signedIn(options, to = "/events") {
  const page = await openPage(browser, options);
  await page.goto(server.url + to);
  await page.fill("input[name=token]", server.token);
  await page.click("form.token button");
  await page.waitForURL((url) => url.pathname === to.split("?")[0]);
  return page;
}

for (const [look, options] of Object.entries(LOOKS)) {
  test(`the timeline is clean, accessible and quiet (${look})`, async () => {
    const page = await signedIn(options);
    for (const [name, path] of Object.entries({ "": "/events", "-kinds": "/events?by=kind&q=since:24h", "-narrowed": "/events?q=outcome:denied%20kind:ssh&order=oldest", "-none": "/events?q=actor:nobody", "-wrong": "/events?q=since:24h%20acotr:alice", "-crowd": "/events?q=actor:tag:team-7-production%20OR%20%D7%A9%D7%9C%D7%95%D7%9D" })) {
      page.troubles.length = 0;
      await page.goto(server.url + path, { waitUntil: "load" });
      await page.waitForTimeout(400);
      page.troubles = page.troubles.filter((trouble) => !/status of 400/.test(trouble));
      await assertClean(page, path);
      await shoot(page, `timeline${name}-${look}`);
      await assertAccessible(page, path);
    }
    await page.context().close();
  });
}

test("a value narrows, its opposite leaves out, and a second click takes it back", async () => {
  const page = await signedIn();
  const counted = async () => {
    await page.waitForSelector("#histogram[data-whole=true] ~ *");
    await page.waitForFunction(() => document.querySelector("#facets")?.dataset.whole === "true");
    return page.textContent("#histogram .extent b");
  };
  const all = await counted();
  await page.click('#facets a.is[data-field="outcome"][data-value="denied"]');
  await page.waitForURL("**q=outcome:denied*");
  assert.equal(await counted(), "200 events");
  await page.click('#facets li[aria-current] a.is');
  await page.waitForURL((url) => !url.search.includes("denied"));
  assert.equal(await counted(), all);
  await page.hover('#facets li:has(a[data-value="ssh.login"])');
  await page.click('#facets li:has(a[data-value="ssh.login"]) a.not');
  await page.waitForURL((url) => url.search.includes("-kind:ssh.login"));
  assert.equal(await page.locator("td.at-kind", { hasText: "ssh.login" }).count(), 0);
  await page.goBack();
  assert.equal(await counted(), all);
  await page.context().close();
});

/** The timeline of a page whose counts are not whole at first; the whole ones come when `let go` is called. */
async function withLateCounts(page) {
  let letGo;
  const gone = new Promise((done) => { letGo = done; });
  await page.route("**/events*", async (route) => {
    const request = route.request();
    const late = request.url().includes("counts=all");
    if (!late && !request.isNavigationRequest()) return route.continue();
    const answer = await route.fetch();
    if (late) await gone;
    return route.fulfill({ response: answer, body: late ? await answer.text() : (await answer.text()).replaceAll('data-whole="true"', 'data-whole="false"') });
  });
  await page.goto(`${server.url}/events?q=since:30d`);
  await page.waitForSelector("#histogram.counting");
  return letGo;
}

test("a click made while the counts arrive goes where it was aimed at", async () => {
  const page = await signedIn();
  const letGo = await withLateCounts(page);
  const value = page.locator('#facets a.is[data-field="outcome"]').first();
  const aimed = await value.getAttribute("href");
  await value.hover();
  await page.mouse.down();
  letGo();
  await page.waitForSelector("#histogram:not(.counting)");
  assert.equal(await page.getAttribute("#facets", "data-whole"), "false", "nothing is touched under a button that is held");
  await page.mouse.up();
  await page.waitForURL(server.url + aimed);
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.context().close();
});

test("counts that arrive change the numbers, not the things that are pointed at", async () => {
  const page = await signedIn();
  const letGo = await withLateCounts(page);
  await page.mouse.move(1, 1);
  const value = page.locator('#facets a.is[data-field="kind"]').first();
  await value.evaluate((link) => { link.kept = true; });
  await page.$eval("#histogram svg", (svg) => { svg.kept = true; });
  letGo();
  await page.waitForSelector("#facets[data-whole=true]");
  assert.ok(await value.evaluate((link) => link.kept), "the link is the same one");
  assert.ok(await page.$eval("#histogram svg", (svg) => svg.kept), "so is the drawing");
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.context().close();
});

test("a piece of a page is made to read as a newer one, in place; what is held still keeps its order", async () => {
  const page = await signedIn();
  const seen = await page.evaluate(async () => {
    const at = (name) => new URL(name, document.querySelector("script[src*='timeline.js']").src).href;
    const { retouch } = await import(at("retouch.js"));
    const list = (...rows) => new DOMParser().parseFromString(`<ul data-whole="${rows.length > 2}">${rows.map(([name, many]) => `<li><a href="/${name}">${name}</a><b>${many}</b></li>`).join("")}</ul>`, "text/html").querySelector("ul");
    const old = list(["one", 1], ["two", 2]);
    const [one, two] = old.children;
    const fresh = list(["three", 30], ["two", 20], ["one", 10]);
    retouch(old, fresh, true);
    const still = old.textContent;
    retouch(old, fresh);
    const moved = [old.textContent, old.dataset.whole, old.children[1] === two, old.children[2] === one];
    retouch(old, list(["two", 5]));
    return { still, moved, less: old.textContent, same: old.children[0] === two };
  });
  assert.deepEqual(seen, { still: "one10two20", moved: ["three30two20one10", "true", true, true], less: "two5", same: true });
  await page.context().close();
});

test("a stretch drawn over the bars is the range of the page, and of its address", async () => {
  const page = await signedIn(undefined, "/events?q=kind:ssh.login");
  await page.waitForSelector("#histogram[data-whole=true]");
  const box = await page.locator("#histogram svg").boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 30);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 30, { steps: 8 });
  await page.mouse.up();
  await page.waitForURL((url) => /since:.*until:/.test(decodeURIComponent(url.search)));
  assert.match(await page.inputValue("input[name=q]"), /^kind:ssh\.login since:\S+Z until:\S+Z$/);
  const rows = await page.locator("tbody tr").count();
  assert.ok(rows > 0);
  await page.click(".quick a:text-is('24 h')");
  await page.waitForURL((url) => url.search.includes("since:24h"));
  assert.equal(await page.inputValue("input[name=q]"), "kind:ssh.login since:24h");
  await page.context().close();
});

test("the box completes what the data has and places a mistake while it is typed", async () => {
  const page = await signedIn();
  await page.keyboard.press("/");
  await page.keyboard.type("actor:bo");
  await page.waitForSelector("[role=option]:has-text('bob@example.com')");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  assert.equal(await page.inputValue("input[name=q]"), "actor:bob@example.com ");
  await page.keyboard.type("acotr:x kind:ss");
  await page.waitForSelector(".told");
  assert.match(await page.textContent(".told"), /acotr.*actor/s);
  assert.match(await page.textContent(".paint .wrong"), /acotr/);
  await page.context().close();
});

test("live events come in at the top, and wait while somebody reads", async () => {
  const page = await signedIn(undefined, "/events?q=kind:ssh.login");
  await page.mouse.move(1, 1);
  await page.keyboard.press("f");
  await page.waitForSelector(".tail[aria-pressed=true]");
  assert.match(page.url(), /live=on/);
  await send([event(KINDS.length * 10_000, 0)]);
  await page.waitForFunction((id) => document.querySelector("tbody tr a.open")?.href.includes(id), `agent-9.1.${KINDS.length * 10_000}`);
  await page.keyboard.press("j");
  await send([event(KINDS.length * 10_001, 0)]);
  await page.waitForSelector(".newer");
  assert.match(await page.textContent(".newer"), /1 new event waits/);
  await page.click(".newer");
  await page.waitForFunction((id) => document.querySelector("tbody tr a.open")?.href.includes(id), `agent-9.1.${KINDS.length * 10_001}`);
  await page.keyboard.press("f");
  await page.waitForSelector(".tail[aria-pressed=false]");
  await assertClean(page, "live");
  await page.context().close();
});

test("without scripts the timeline shows bars, values and rows, and every one of them narrows", async () => {
  const context = await browser.newContext({ ...LOOKS.light, javaScriptEnabled: false });
  const page = await context.newPage();
  // Where a click leads to is awaited: without it, what is asked next may still be answered by the page before.
  const leadsTo = (pattern) => page.waitForURL((url) => pattern.test(decodeURIComponent(url.href)));
  await page.goto(`${server.url}/events`);
  await page.fill("input[name=token]", server.token);
  await page.click("form.token button");
  await page.locator("table.events tbody tr").nth(49).waitFor();
  assert.equal(await page.locator("table.events tbody tr").count(), 50);
  assert.ok((await page.locator("#histogram svg a").count()) > 10);
  await page.locator("#histogram svg a").nth(3).click({ force: true });
  await leadsTo(/since:.* until:/);
  await page.goto(`${page.url()}&counts=all`);
  await page.click('#facets a.is[data-field="kind"]');
  await leadsTo(/kind:/);
  await context.close();
});

test("a theme is kept from page to page, whatever the system says", async () => {
  const page = await signedIn(LOOKS.light);
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await paper();
  await page.click(".me summary");
  await page.click(".themes button[data-theme=dark]");
  const dark = await paper();
  assert.notEqual(dark, light);
  await page.goto(`${server.url}/sessions`);
  assert.equal(await paper(), dark);
  await page.click(".me summary");
  await page.click(".themes button[data-theme=auto]");
  assert.equal(await paper(), light);
  await page.context().close();
});

test("the timeline weighs less than 150 KB", async () => {
  const page = await signedIn();
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Network.setCacheDisabled", { cacheDisabled: true });
  await page.goto(`${server.url}/events`, { waitUntil: "networkidle" });
  const weight = await page.evaluate(() => ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind)).reduce((sum, entry) => sum + (entry.transferSize || entry.encodedBodySize), 0));
  assert.ok(weight > 20_000 && weight < 150_000, `${weight} bytes as they are sent`);
  await page.context().close();
});

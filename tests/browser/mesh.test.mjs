// The pages about the mesh, over a real server that was told of 500 devices, their changes and their traffic.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { assertAccessible, assertClean, launch, LOOKS, openPage, shoot } from "./chromium.mjs";
import { fill, ODD } from "./mesh.mjs";
import { ask, serve } from "./server.mjs";

let server;
let empty;
let browser;

before(async () => {
  [server, empty] = await Promise.all([serve(), serve()]);
  browser = await launch();
  await fill(server);
});

after(async () => {
  await browser?.close();
  await Promise.all([server?.stop(), empty?.stop()]);
});

async function signedIn(options, of = server) {
  const page = await openPage(browser, options);
  await page.goto(`${of.url}/sign-in?to=%2Fpeople`);
  await page.fill("input[name=token]", of.token);
  await page.click("form.token button");
  await page.waitForURL(`${of.url}/people`);
  return page;
}

const name = (path, look) => `mesh-${decodeURIComponent(path).replaceAll(/[^a-z0-9]+/gi, "-").replaceAll(/^-|-$/g, "").slice(0, 60)}-${look}`;

const PATHS = [
  "/people", "/people?q=oncall", "/people?q=nobody-is-called-so", `/people/${ODD.login}`, `/people/${encodeURIComponent(ODD.rtl)}`, `/people/${encodeURIComponent(ODD.long)}`, `/people/${encodeURIComponent(ODD.markup)}`,
  "/devices", "/devices?show=tagged", "/devices?show=gone", "/devices?show=doubt", "/devices?from=400", "/devices/n4CNTRL", "/devices/n9CNTRL", "/devices/nNewCNTRL", "/devices/n3CNTRL",
  "/changes", "/changes?q=kind%3Apolicy&since=30d", "/changes?severity=high", "/changes?q=acotr%3Ax", "/sources",
  "/network", "/network?by=device", "/network?by=tag", "/network?by=group", "/network?by=group&of=group%3Agroup%3Aoncall", `/network?by=device&of=person%3A${ODD.login}`, "/network?by=device&of=device%3An9CNTRL&with=device%3An63CNTRL", "/network?layer=exit", "/people/nobody@nowhere.example", "/devices/none",
];

for (const [look, options] of Object.entries(LOOKS)) {
  test(`every page about the mesh is clean, accessible and quiet (${look})`, async () => {
    const page = await signedIn(options);
    for (const path of PATHS) {
      page.troubles.length = 0;
      await page.goto(server.url + path, { waitUntil: "load" });
      page.troubles = page.troubles.filter((trouble) => !/status of (?:400|404)/.test(trouble));
      await shoot(page, name(path, look));
      await assertClean(page, path);
      await assertAccessible(page, path);
    }
    await page.context().close();
  });

  test(`what is not there yet says how to get it (${look})`, async () => {
    const page = await signedIn(options, empty);
    for (const [path, command] of [["/people", "[sources.headscale]"], ["/devices", "[sources.headscale]"], ["/changes", "[sources.headscale]"], ["/network", "meshtrail setup flow-logs"], ["/sources", ""]]) {
      await page.goto(empty.url + path, { waitUntil: "load" });
      assert.ok((await page.textContent("main")).includes(command), `${path} does not name the command`);
      await shoot(page, `${name(path, look)}-empty`);
      await assertClean(page, path);
      await assertAccessible(page, path);
    }
    await page.context().close();
  });
}

test("a person's page says what they did, from where, on what, and what only claims to be theirs", async () => {
  const page = await signedIn();
  await page.goto(`${server.url}/people/${ODD.login}`);
  const text = await page.textContent("main");
  assert.match(text, /srv-9/);
  assert.match(text, /denied or failed/);
  assert.match(text, /1 more event names them/);
  assert.match(text, /Active on|larger is more/);
  assert.ok(await page.locator(".activity a").count() > 20, "days lead to their events");
  await page.locator(".activity a").first().focus();
  await page.keyboard.press("Enter");
  await page.waitForURL("**/events?q=person*");
  await page.context().close();
});

test("a device's page tells who had its address before, what it was called, and that sources disagree", async () => {
  const page = await signedIn();
  await page.goto(`${server.url}/devices/nNewCNTRL`);
  const holders = await page.locator("table.holdings tbody tr").allTextContents();
  assert.deepEqual(holders.map((row) => /old-1|old-2|this device/.exec(row)?.[0]), ["old-1", "old-2", "this device"]);
  const history = await page.textContent("table.history");
  for (const was of ["new-9.tail.example", "db-9.tail.example", "tag:db, tag:prod"]) assert.ok(history.includes(was), was);
  assert.match(await page.textContent("aside"), /Sources disagree/);
  await page.click("table.holdings >> text=old-2");
  await page.waitForURL("**/devices/nOld2CNTRL");
  assert.match(await page.textContent("main"), /gone since/);
  await page.context().close();
});

test("a change is told once with its diff, its weight and who saw it, and leads to its event", async () => {
  const page = await signedIn();
  await page.goto(`${server.url}/changes?q=kind%3Apolicy.changed`);
  const first = page.locator(".changes > li").first();
  const text = await first.textContent();
  for (const part of ["group:oncall may now reach", "high", "added: ", "removed: ", "2 lines added", "seen by the audit log"]) assert.ok(text.includes(part), `${part} in ${text}`);
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/events/mesh.1.*");
  await page.waitForSelector(".proof.good");
  await page.context().close();
});

test("the square of who talks to whom can be walked by keys, and leads down to the events", async () => {
  const page = await signedIn();
  await page.goto(`${server.url}/network`);
  await page.waitForSelector("table.matrix");
  const cells = await page.locator("table.matrix td a").count();
  assert.ok(cells > 20, `${cells} cells`);
  await page.locator("table.matrix tbody th a").first().focus();
  await page.keyboard.press("ArrowRight");
  assert.match(await page.textContent("#matrix-said"), / to .*: [0-9.]+ [KMG]?B/);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/network?*with=*");
  await page.locator("table.pairs a.open").first().click();
  await page.waitForURL("**/network?*with=device*");
  assert.equal(await page.locator("table.matrix").count(), 0, "two devices need no square");
  await page.locator("table.pairs a.open").first().click();
  await page.waitForURL("**/events?q=kind*");
  assert.ok(await page.locator("table.events tbody tr").count() > 0);
  await page.context().close();
});

test("traffic is put together by the groups of its people, each group a way into it", async () => {
  const page = await signedIn();
  await page.goto(`${server.url}/network?by=group`);
  const names = await page.locator("table.matrix tbody th").allTextContents();
  for (const group of ["oncall", "team-1"]) assert.ok(names.includes(group), `${group} in ${names}`);
  assert.match(await page.textContent(".legend"), /in several groups counts in each/);
  await page.click("table.matrix tbody th a:has(:text-is('oncall'))");
  await page.waitForURL("**/network?by=device&of=group:group:oncall");
  assert.match(await page.textContent("h1"), /Who talks to whom: oncall/);
  // The fifths of PEOPLE are on call: alice, and every person-N with a remainder of 1.
  const rows = await page.locator("table.pairs tbody tr").allTextContents();
  const onCall = (row) => row.includes(ODD.login) || [...row.matchAll(/person-(\d+)@/g)].some(([, number]) => number % 5 === 1);
  assert.ok(rows.length > 3 && rows.every(onCall), rows.filter((row) => !onCall(row)).join("; "));
  await page.context().close();
});

test("what is not there is said in its place, with the way to the others", async () => {
  const page = await signedIn();
  await page.goto(`${server.url}/people/nobody@nowhere.example`);
  assert.equal(await page.textContent("nav [aria-current=page]"), "People");
  await page.click("main a.button");
  await page.waitForURL("**/people");
  await page.context().close();
});

test("the network page of 500 devices is light, comes at once, and says what only one end counted", async () => {
  const page = await signedIn();
  await page.goto(`${server.url}/network`);
  let sent = 0;
  page.on("response", async (response) => { sent += Number((await response.request().sizes()).responseBodySize); });
  const began = performance.now();
  await page.goto(`${server.url}/network?by=device`, { waitUntil: "domcontentloaded" });
  const took = performance.now() - began;
  await page.waitForLoadState("load");
  const text = await page.textContent("main");
  assert.match(text, /only the (?:sender|receiver) reports/);
  assert.match(text, /both ends agree/);
  console.log(`network page of 500 devices: ${took.toFixed(0)} ms, ${sent} bytes`);
  assert.ok(sent < 150_000, `${sent} bytes`);
  await page.context().close();
});

test("lists find by a part of what they show, and are turned by keys", async () => {
  const page = await signedIn();
  await page.goto(`${server.url}/devices`);
  await page.keyboard.press("/");
  await page.keyboard.type("srv-24");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/devices?q=srv-24");
  assert.ok((await page.locator("table.devices tbody tr").allTextContents()).every((row) => row.includes("srv-24")));
  await page.goto(`${server.url}/devices`);
  await page.keyboard.press("[");
  await page.waitForURL("**/devices?from=100");
  await page.context().close();
});

test("every page about the mesh reads without scripts", async () => {
  const page = await signedIn();
  const cookies = await page.context().cookies();
  const plain = await openPage(browser, { javaScriptEnabled: false });
  await plain.context().addCookies(cookies);
  for (const [path, row] of [["/people", "table.people tbody tr"], ["/devices", "table.devices tbody tr"], ["/changes", ".changes > li"], ["/network", "table.pairs tbody tr"], [`/people/${ODD.login}`, "table.said tbody tr"]]) {
    await plain.goto(server.url + path);
    assert.ok(await plain.locator(row).count() > 3, `${path} without scripts`);
  }
  await page.context().close();
  await plain.context().close();
});

test("the API tells the same of people and devices as the pages", async () => {
  const { found, people } = await (await ask(server, "/api/v1/people?q=oncall")).json();
  assert.equal(found, people.length);
  assert.ok(people.every(({ state }) => state.groups.includes("group:oncall")));
  const { device, history, holdings, accounts } = await (await ask(server, "/api/v1/devices/nNewCNTRL")).json();
  assert.equal(device.state.name, "db-9.tail.example");
  assert.deepEqual(holdings.map(({ device: id }) => id), ["nOld1CNTRL", "nOld2CNTRL", "nNewCNTRL"]);
  assert.ok(history.some(({ what, value }) => what === "whose" && value === "tag:db, tag:prod"));
  assert.ok(accounts.length > 1 && device.conflict);
  const then = await (await ask(server, `/api/v1/devices?q=old-1&at=${new Date(Date.now() - 18 * 86_400_000).toISOString()}`)).json();
  assert.deepEqual(then.devices.map(({ state }) => state.id), ["nOld1CNTRL"], "as of then");
  const { doings } = await (await ask(server, `/api/v1/people/${ODD.login}`)).json();
  assert.ok(doings.events > 300 && doings.refused > 5 && doings.claimed === 1, JSON.stringify(doings).slice(0, 300));
});

// What an evidence pack must do in a browser, from a file, without any network.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { assertAccessible, assertClean, LOOKS, openPage, shoot } from "./chromium.mjs";
import { forged, keyOf, tampered } from "./tamper.mjs";

async function opened(browser, folder, html, look = {}) {
  const file = join(folder, "evidence.html");
  writeFileSync(file, html);
  const page = await openPage(browser, look);
  page.requests = [];
  page.on("request", (request) => { if (!/^(?:file|data|blob):/.test(request.url())) page.requests.push(request.url()); });
  await page.goto(pathToFileURL(file).href);
  return page;
}

const verdict = (page) => page.waitForFunction(() => document.documentElement.dataset.verdict).then((handle) => handle.jsonValue());

/** Checks a whole pack, changed ones, and a forged one. */
export async function checkPackFile(test, browser, html) {
  const folder = mkdtempSync(join(tmpdir(), "meshtrail-pack-"));
  for (const [look, options] of Object.entries(LOOKS)) {
    await test.test(`a whole pack replays and proves itself (${look})`, async () => {
      const page = await opened(browser, folder, html, options);
      assert.equal(await verdict(page), "good");
      await page.click(".play");
      await page.waitForSelector(".ap-player");
      await page.waitForTimeout(1500);
      await assertClean(page, "pack");
      assert.deepEqual(page.requests, [], "the pack asked the network");
      await shoot(page, `pack-${look}`);
      await assertAccessible(page, "pack");
      await page.context().close();
    });
  }
  for (const [part, changed, check] of tampered(html)) {
    await test.test(`a byte changed in ${part} shows`, async () => {
      assert.notEqual(changed, html);
      const page = await opened(browser, folder, changed);
      if (check === null) {
        await page.waitForTimeout(300);
        assert.match(await page.textContent("main"), /Nothing has been checked/);
      } else {
        assert.equal(await verdict(page), "bad");
        const wrong = await page.$$eval("#verdict li.bad > .name", (names) => names.map((name) => name.textContent));
        assert.ok(wrong.includes(check), `${part}: ${wrong} is named, not ${check}`);
        assert.doesNotMatch(await page.textContent("#verdict .head"), /is as it was received/);
      }
      await page.context().close();
    });
  }
  await test.test("a pack signed by another key shows its key, and that it is not the expected one", async () => {
    const page = await opened(browser, folder, forged(html));
    assert.equal(await verdict(page), "good");
    assert.notEqual(await page.textContent("#vkey"), keyOf(html));
    await page.fill("#expected", keyOf(html));
    assert.match(await page.textContent("#key-answer"), /NOT the key you expect/);
    await page.context().close();
  });
  rmSync(folder, { recursive: true, force: true });
}

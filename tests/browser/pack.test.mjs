// The evidence pack named by MESHTRAIL_PACK, whole and with a byte changed in each of its parts.
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { launch } from "./chromium.mjs";
import { checkPackFile } from "./pack-checks.mjs";

const file = process.env.MESHTRAIL_PACK;
let browser;
before(async () => { if (file) browser = await launch(); });
after(async () => { await browser?.close(); });

test("an evidence pack", { skip: file ? false : "MESHTRAIL_PACK names no file" }, (each) => checkPackFile(each, browser, readFileSync(file, "utf8")));
